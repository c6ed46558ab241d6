"""Measures: scenarios, the runner that carries them out, and the store that keeps results."""
