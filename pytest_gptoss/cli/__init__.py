"""The command ``pytest-gptoss``: a file a subcommand."""
