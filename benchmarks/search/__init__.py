"""What ``benchmarks.searching`` searches: surfaces whose best is known, and commands that are timed."""
