"""The metrics of sound events beside the libraries that are customary, in an environment where these run.

make metrics
"""
