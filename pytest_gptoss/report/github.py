"""What GitHub shows of a run: the step's summary page, and a line for each failure (an annotation)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.language import Language
from pytest_gptoss.model.printable import printable, shortened
from pytest_gptoss.report.formats.markdown import markdown
from pytest_gptoss.report.wording import Wording

__all__ = ["LARGEST", "failure_lines", "step_summary"]

LARGEST = 1 << 20
"""Bytes beyond which GitHub drops a step's whole summary."""
_MOST = 10
"""Errors that GitHub shows of a step."""
_LONGEST = 500


def step_summary(document: Mapping[str, Json], language: Language, *, room: int = LARGEST) -> str:
    """The Markdown report in fewer than ``room`` bytes: whole lines of it, and where it was cut, a note."""
    text = markdown(document, language)
    if len(text.encode(errors="replace")) < room:
        return text
    note = f"\n{Wording(language)('github.cut')}\n"
    left = room - len(note.encode()) - 1
    kept = []
    for line in text.splitlines(keepends=True):
        left -= len(line.encode(errors="replace"))
        if left <= 0:
            break
        kept.append(line)
    return "".join(kept) + note if len(note.encode()) < room else ""


def failure_lines(document: Mapping[str, Json]) -> list[str]:
    """Workflow commands, one a line: an error for each row that failed or is INVALID, ten at most."""
    found = list(_errors(document))
    more = [f"::notice title=pytest-gptoss::and {len(found) - _MOST} more rows"] if len(found) > _MOST else []
    return found[:_MOST] + more


def _errors(document: Mapping[str, Json]) -> Iterator[str]:
    for row in document["verdicts"]:
        if row["verdict"] in ("FAIL", "INVALID"):
            title = _escaped(f"{row['verdict']} {row['npu']}-{row['threshold_id']}")
            title = title.replace(":", "%3A").replace(",", "%2C")
            yield f"::error title={title}::{_escaped(row['line'])}"


def _escaped(text: str) -> str:
    return printable(shortened(text, _LONGEST)).replace("%", "%25")
