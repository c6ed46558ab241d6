"""Metrics: pure functions from measurements to an Estimate, one idea a file.

A file is named as its metric, or as the beginning that the names of its metrics share: so the registry finds
a metric without importing the others.

Keyword parameters are named by role. ``Estimate.n`` counts the units that the interval is over:
prompts or sequences, never tokens. ``details["finding"]``, where present, is the most telling fact
in one line; a verdict that is not green quotes it. A metric raises InsufficientData rather than
return a figure for nothing.
"""
