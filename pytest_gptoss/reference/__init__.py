"""The CPU reference server. Nothing outside imports it; it is started as a process."""
