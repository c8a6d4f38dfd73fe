"""The forms in which others write labels, read and written. ``forms`` is the page to read.

A reader turns the text of a file into the rows that our own annotations have (``columns.Fields``), so that
what they say is checked in one place; a writer turns the events of a recording into text.
"""
