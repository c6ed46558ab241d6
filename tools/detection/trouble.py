"""What a run of the matrix says at its end of each row that did not look as expected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from detection.row import FAIL, Outcome, Row, column

__all__ = ["end_of", "trouble"]

LOG_LINES = 40


def trouble(
    rows: Sequence[Row],
    outcomes: Mapping[str, Outcome],
    not_run: Mapping[str, str],
    log: Callable[[str], Path],
) -> list[str]:
    """Lines on each row with something amiss, none when all is well.

    ``not_run`` says why a row has no outcome; rows without a reason are named together. ``log`` gives the
    path of a row's log, or of the recording's that it is judged against.
    """
    lines: list[str] = []
    for row in rows:
        outcome = outcomes.get(row.id)
        if outcome is None and row.id in not_run:
            lines += [f"== {row.id}: {row.what}", f"   not run: {not_run[row.id]}"]
            lines += [*end_of(log(row.id))] or [*end_of(log(row.against))]
        elif outcome is not None and _amiss(row, outcome):
            lines += [f"== {row.id}: {row.what}", *_compared(row, outcome), *end_of(log(row.id))]
    left = [row.id for row in rows if row.id not in outcomes and row.id not in not_run]
    return [*lines, *([f"== not run: {', '.join(left)}"] if left else [])]


def _amiss(row: Row, outcome: Outcome) -> bool:
    if row.sound:
        return outcome.alarmed
    return row.unseen is None and (bool(row.missed(outcome)) or not outcome.alarmed)


def _compared(row: Row, outcome: Outcome) -> Iterator[str]:
    wanted = "all green, exit 0"
    if not row.sound:
        wanted = ", ".join(
            f"{name} FAIL" if looks == FAIL else f"{name} INVALID, saying {looks!r}"
            for name, looks in row.expect.items()
        )
    yield f"   expected: {wanted}"
    yield f"   seen: exit {outcome.status}, against the recording {row.against}"
    told = {*row.expect, *outcome.red}
    rest: Counter[str] = Counter()
    for threshold_id, word in outcome.verdicts.items():
        if column(threshold_id) in told:
            yield f"   {_seen(threshold_id, word, outcome)}"
        else:
            rest[word] += 1
    yield from (f"   {name} was not judged" for name in row.expect if name not in _columns(outcome))
    if rest:
        yield f"   the rest: {', '.join(f'{count} {word}' for word, count in sorted(rest.items()))}"


def _seen(threshold_id: str, word: str, outcome: Outcome) -> str:
    value, reason = outcome.figures.get(threshold_id), outcome.reasons.get(threshold_id)
    figure = "" if value is None else f" {value:.6g}"
    return f"{threshold_id} {word}{figure}{f': {reason}' if reason else ''}"


def _columns(outcome: Outcome) -> set[str]:
    return {column(name) for name in outcome.verdicts}


def end_of(path: Path) -> Iterator[str]:
    """The end of a log, line by line; nothing where it was not begun."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    yield f"   the end of {path}:"
    yield from (f"   | {line}" for line in lines[-LOG_LINES:])
