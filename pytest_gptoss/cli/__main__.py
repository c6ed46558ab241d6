"""``python -m pytest_gptoss.cli``."""

import sys

from pytest_gptoss.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
