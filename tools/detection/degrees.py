"""Damage by degrees against every numeric row: the rows of ``benchmarks/sensitivity.md``, and its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeAlias

from detection.checkpoints import DAMAGES
from detection.recordings import VLLM
from detection.row import Outcome, Row, Served
from detection.servers import damaged, real_vllm, reference

__all__ = ["DEGREES", "SOUND", "degree_rows", "table"]

Serve: TypeAlias = Callable[[], AbstractContextManager[Served]]

SOUND = "sound"
DEGREES = (SOUND, *(name for name in DAMAGES if name.startswith(("weights-", "noise-"))))
"""From none to much, by what is done to the weights."""
NO_FIGURES = ("precision.leakage",)
"""Precision rows that count texts and not how far numbers are off."""


def degree_rows(device: str, degrees: Sequence[str]) -> tuple[Row, ...]:
    """A row for each degree, served by ``vllm`` or the ``reference`` server, against the recorded vLLM."""
    return tuple(_row(device, degree) for degree in degrees)


def _row(device: str, degree: str) -> Row:
    serve = _on_vllm(degree) if device == "vllm" else _on_reference(degree)
    return Row(f"{device}-{degree}", "numerics", degree, serve, families="precision", against=VLLM)


def _on_vllm(degree: str) -> Serve:
    return partial(real_vllm, None if degree == SOUND else degree)


def _on_reference(degree: str) -> Serve:
    return reference if degree == SOUND else partial(damaged, degree)


def table(rows: Sequence[Row], outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    """A Markdown table of the figures, **bold** beyond the limit; rows that were not run are named below."""
    missing = [row.what for row in rows if row.id not in outcomes]
    run = [(row, outcomes[row.id]) for row in rows if row.id in outcomes]
    named = dict.fromkeys(
        name for _, outcome in run for name, value in outcome.figures.items() if value is not None
    )
    columns = [name for name in named if name.startswith("precision.") and name not in NO_FIGURES]
    if not run:
        yield "Not run."
        return
    yield f"| damage | {' | '.join(name.removeprefix('precision.') for name in columns)} | evidence |"
    yield "|---" * (2 + len(columns)) + "|"
    for row, outcome in run:
        cells = [_figure(outcome, name) for name in columns]
        yield f"| {row.what} | {' | '.join(cells)} | {outcome.evidence or '-'} |"
    for line in _not_judged(run):
        yield from ("", line)
    if missing:
        yield from ("", f"Not run: {', '.join(missing)}.")


def _not_judged(run: Sequence[tuple[Row, Outcome]]) -> Iterator[str]:
    """A line for each column that was INVALID somewhere: at which damage, and the first reason."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row, outcome in run:
        for name, word in outcome.verdicts.items():
            if word == "INVALID":
                reason = " ".join(outcome.reasons.get(name, "").split())
                found.setdefault(name.removeprefix("precision."), []).append((row.what, reason))
    for name, rows in found.items():
        where = ", ".join(what for what, _ in rows)
        yield f"`{name}` was not judged at {where}. {rows[0][0]}: {rows[0][1]}"


def _figure(outcome: Outcome, name: str) -> str:
    value, interval = outcome.figures.get(name), outcome.intervals.get(name)
    if value is None:
        return "-"
    shown = f"**{value:.4g}**" if name in outcome.red else f"{value:.4g}"
    ends = "" if interval is None else f" ({' to '.join(f'{end:.3g}' for end in interval)})"
    return shown + (ends if name == "precision.error_ratio" else "")
