"""The search for a guilty setting, knowing nothing of servers: starts are asked for, outcomes come back.

A change takes one setting out of the failing serve line, or puts one in. The search looks for the smallest
set of changes that heals the failure, by delta debugging (Zeller and Hildebrandt, Simplifying and isolating
failure-inducing input, 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

__all__ = ["EAGER", "Finding", "Outcome", "Stage", "isolate", "narrowed"]

Outcome: TypeAlias = Literal["fails", "passes", "other", "mixed"]
"""What the probes of one start showed: all the failure, none of them, another failure, or some of each."""
Stage: TypeAlias = Literal["reproduce", "eager", "narrow", "confirm"]
Start: TypeAlias = Callable[[Stage, tuple[str, ...]], Outcome]
"""Starts the serve line with these changes, probes it, and returns what that showed."""

EAGER = "--enforce-eager"
"""The change that tells graph capture from operators."""
_REPRODUCING = 2
"""Starts of the unchanged line that must all fail."""


@dataclass(frozen=True)
class Finding:
    """What a search has found, and at which stage of the procedure it ended.

    ``changes`` is the smallest set that heals; ``eager_heals`` is None when that was not tried. ``why`` is a
    key of the words: what made it end there.
    """

    verdict: Literal["found", "not found", "flaky"]
    stage: Stage
    why: str
    changes: tuple[str, ...] = ()
    eager_heals: bool | None = None


class _Flaky(Exception):
    """One start showed the failure in some probes and not in others."""


class _OutOfStarts(Exception):
    """So many starts were allowed, and no more."""


class _Starts:
    """Starts by the changes made, each made once, up to ``most``; a confirmation is always made anew."""

    def __init__(self, start: Start, most: int) -> None:
        self._start = start
        self._left = most
        self._known: dict[frozenset[str], Outcome] = {}
        self.stage: Stage = "reproduce"

    def outcome(self, changes: Iterable[str]) -> Outcome:
        """What these changes make of the failure."""
        wanted = tuple(changes)
        key = frozenset(wanted)
        if key not in self._known:
            self._known[key] = self.anew(wanted)
        return self._known[key]

    def heals(self, changes: Iterable[str]) -> bool:
        """Whether these changes heal the failure; another failure in its place is no healing."""
        return self.outcome(changes) == "passes"

    def anew(self, changes: tuple[str, ...]) -> Outcome:
        """The outcome of a fresh start; raises _Flaky for one that is not the same in all probes."""
        if self._left < 1:
            raise _OutOfStarts
        self._left -= 1
        outcome = self._start(self.stage, changes)
        if outcome == "mixed":
            raise _Flaky
        return outcome


def isolate(start: Start, *groups: Sequence[str], most: int, try_eager: bool = True) -> Finding:
    """Carry the procedure out: reproduce, eager, narrow down, confirm, in at most ``most`` starts.

    ``groups`` of changes are narrowed down one after the other, until one of them heals; EAGER is tried by
    itself before, whether named there or not, unless the line has it already (``try_eager``).
    """
    starts = _Starts(start, most)
    eager: bool | None = None
    try:
        shown = [starts.anew(()) for _ in range(_REPRODUCING)]
        if set(shown) != {"fails"}:
            return _unreproduced(shown)
        if try_eager:
            starts.stage = "eager"
            shown_eager = starts.outcome((EAGER,))
            eager = None if shown_eager == "other" else shown_eager == "passes"
        starts.stage = "narrow"
        narrow = (_narrow(starts, [each for each in group if each != EAGER]) for group in groups)
        found = next((each for each in narrow if each), (EAGER,) if eager else ())
        if not found:
            return Finding("not found", "narrow", "nothing heals", eager_heals=eager)
        return _confirmed(starts, found, eager)
    except _Flaky:
        return Finding("flaky", starts.stage, "mixed", eager_heals=eager)
    except _OutOfStarts:
        return Finding("not found", starts.stage, "out of starts", eager_heals=eager)


def _unreproduced(shown: Sequence[Outcome]) -> Finding:
    """A line whose first starts did not all show the failure.

    Another failure in its place, a start that took too long say, tells nothing of whether it is random.
    """
    if "other" in shown:
        return Finding("not found", "reproduce", "other failure")
    if "fails" in shown:
        return Finding("flaky", "reproduce", "not always")
    return Finding("not found", "reproduce", "passes at first")


def _narrow(starts: _Starts, changes: Sequence[str]) -> tuple[str, ...]:
    """The smallest set of changes that heals; empty where none does.

    Where all together make another failure, one of them may hide what the others do, as a flag does that the
    server refuses: each half is then tried by itself.
    """
    if not changes:
        return ()
    outcome = starts.outcome(changes)
    if outcome == "passes":
        return narrowed(changes, starts.heals)
    halves = _split(tuple(changes), 2) if outcome == "other" and len(changes) > 1 else []
    healing_first = sorted(halves, key=lambda half: not starts.heals(half))
    return next((found for half in healing_first if (found := _narrow(starts, half))), ())


def narrowed(changes: Sequence[str], heals: Callable[[tuple[str, ...]], bool]) -> tuple[str, ...]:
    """The minimal part of ``changes`` that still heals, given that all of them do (ddmin)."""
    current, parts = tuple(changes), 2
    while len(current) > 1:
        chunks = _split(current, parts)
        rests = (
            [tuple(each for each in current if each not in chunk) for chunk in chunks] if parts > 2 else []
        )
        smaller = next((each for each in (*chunks, *rests) if heals(each)), None)
        if smaller is not None:
            parts = 2 if smaller in chunks else max(parts - 1, 2)
            current = smaller
        elif parts < len(current):
            parts = min(2 * parts, len(current))
        else:
            break
    return current


def _split(items: tuple[str, ...], parts: int) -> list[tuple[str, ...]]:
    edges = [len(items) * place // parts for place in range(parts + 1)]
    return [items[begin:end] for begin, end in pairwise(edges) if begin < end]


def _confirmed(starts: _Starts, changes: tuple[str, ...], eager: bool | None) -> Finding:
    """Once with the changes and once without: what contradicts the search makes the failure flaky."""
    starts.stage = "confirm"
    if starts.anew(changes) != "passes" or starts.anew(()) != "fails":
        return Finding("flaky", "confirm", "contradiction", eager_heals=eager)
    return Finding("found", "confirm", "confirmed", changes, eager)
