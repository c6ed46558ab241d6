"""Asks: the one place that speaks HTTP and vLLM's dialect. Imports no pytest."""
