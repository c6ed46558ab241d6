"""Servers that a run starts as processes."""
