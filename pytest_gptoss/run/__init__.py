"""One run without pytest: devices, measuring, store, judging."""
