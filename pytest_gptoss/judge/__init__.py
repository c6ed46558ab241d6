"""Judges: metrics, thresholds and verdicts. Pure: no pytest, no httpx, no clock."""
