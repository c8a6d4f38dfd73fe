"""Corpora in other people's folders, made into data sets of our own form; ``importing`` does it."""
