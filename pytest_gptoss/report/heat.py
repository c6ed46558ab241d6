"""Needle cells as heat maps: depth by length, recall and first-token latency, one pair for each device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_gptoss.judge.figures import percent
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.tables.needles import size
from pytest_gptoss.report.wording import Wording

__all__ = ["Heat", "HeatCell", "HeatPart", "HeatRow", "heats"]

_WARMEST = 40
"""Percent of the device's colour in the warmest cell: text stays readable on it."""


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One cell: a verdict's status, or a share of heat in percent."""

    text: str
    more: str = ""
    status: str = ""
    heat: float | None = None


@dataclass(frozen=True, slots=True)
class HeatRow:
    """The cells of one depth, None where nothing was asked."""

    depth: str
    cells: tuple[HeatCell | None, ...]


@dataclass(frozen=True, slots=True)
class HeatPart:
    """One map."""

    caption: str
    rows: tuple[HeatRow, ...]


@dataclass(frozen=True, slots=True)
class Heat:
    """The maps of one device over the same lengths."""

    lengths: tuple[str, ...]
    parts: tuple[HeatPart, ...]


def heats(document: Mapping[str, Json], translate: Wording) -> list[Heat]:
    """Recall and latency of every device whose needle cells were asked."""
    cells = [cell for cell in document["measurements"].get("needles", ()) if not cell["control"]]
    return [
        _heat([cell for cell in cells if cell["device"] == device], device, translate)
        for device in dict.fromkeys(cell["device"] for cell in cells)
    ]


def _heat(cells: list[Mapping[str, Json]], device: str, translate: Wording) -> Heat:
    lengths = sorted({cell["length"] for cell in cells})
    depths = sorted({cell["depth"] for cell in cells})
    at = {(cell["depth"], cell["length"]): cell for cell in cells}
    longest = max((cell["first_token_ms"] or 0.0 for cell in cells), default=0.0)

    def rows(draw: str) -> tuple[HeatRow, ...]:
        return tuple(
            HeatRow(
                percent(depth),
                tuple(_cell(at.get((depth, length)), draw, longest, translate) for length in lengths),
            )
            for depth in depths
        )

    return Heat(
        tuple(map(size, lengths)),
        (
            HeatPart(translate("heat.recall", device=device), rows("recall")),
            HeatPart(translate("heat.wait", device=device), rows("wait")),
        ),
    )


def _cell(cell: Mapping[str, Json] | None, draw: str, longest: float, translate: Wording) -> HeatCell | None:
    if cell is None:
        return None
    if draw == "wait":
        wait = cell["first_token_ms"]
        heat = _WARMEST * wait / longest if wait is not None and longest > 0 else 0.0
        return HeatCell(translate.figure(wait), heat=round(heat, 1))
    outcome = cell["outcome"]
    status = {"hit": "PASS", "miss": "FAIL", None: "OPEN"}.get(outcome, "INVALID")
    return HeatCell(
        f"{cell['hits']}/{cell['trials']}", translate.word("outcome", outcome) if outcome else "", status
    )
