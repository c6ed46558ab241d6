"""The TOML reader of this Python: the standard library's, before 3.11 tomli."""

from __future__ import annotations

import importlib
import sys

__all__ = ["toml"]

# By name: type checkers know one of the two alone.
toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
