"""The report formats: each module declares one as ``FORMAT``."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from pytest_gptoss.report.format import Format

__all__ = ["MODULES", "format_names", "formats"]

MODULES = ("html", "markdown", "precision", "long_context", "benchmark", "junit", "prometheus")
"""In the order in which the command offers them."""


@cache
def formats() -> tuple[Format, ...]:
    """Every report format; the modules are imported when this is first called."""
    return tuple(import_module(f"{__name__}.{module}").FORMAT for module in MODULES)


def format_names() -> tuple[str, ...]:
    """The names that the command offers; every one has a format that can be written again."""
    return tuple(dict.fromkeys(each.name for each in formats() if not each.by_run_alone))
