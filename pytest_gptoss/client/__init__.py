"""Asks servers: the one place that speaks HTTP and knows vLLM's API. Imports no pytest."""
