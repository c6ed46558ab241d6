"""A run on GitHub: its tables in the step's summary, its failures as annotations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.language import Language
from pytest_gptoss.report.github import LARGEST, failure_lines, step_summary

__all__ = ["VARIABLE", "tell_github"]

VARIABLE = "GITHUB_STEP_SUMMARY"
"""The environment variable in which GitHub names the file of a step's summary."""


def tell_github(document: Mapping[str, Json] | None, language: Language) -> list[str]:
    """Add the run to the step's summary; returns the lines that make annotations when they are printed.

    Nothing elsewhere than on GitHub, and where there is no document. Raises OSError where the file cannot be
    written.
    """
    file = os.environ.get(VARIABLE)
    if not file or document is None:
        return []
    path = Path(file)
    room = LARGEST - (path.stat().st_size if path.is_file() else 0)
    with path.open("a", encoding="utf-8", errors="replace") as summary:
        summary.write(step_summary(document, language, room=room))
    return failure_lines(document)
