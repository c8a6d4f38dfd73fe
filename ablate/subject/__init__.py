"""What is trained, as the harness sees it. ``interface`` is the page to read; the rest are its parts.

The harness plans, launches, records, tracks and compares; a subject knows how one kind of training is
configured, fed, trained and scored. Neither knows the inside of the other.
"""
