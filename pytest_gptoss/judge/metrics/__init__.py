"""Metrics: pure functions from measurements to an Estimate, one family a file.

Keyword parameters are named by role. ``Estimate.n`` counts the units that the interval is over:
prompts or sequences, never tokens. ``details["finding"]``, where present, is the most telling fact
in one line; a verdict that is not green quotes it. A metric raises InsufficientData rather than
return a figure for nothing.
"""
