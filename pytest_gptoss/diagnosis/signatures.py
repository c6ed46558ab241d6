"""Known failures as records: by what a log or an answer says of them, or by what the verdicts say.

The table is data, ``signatures.toml``, and a user's files are added to it. What reads it, and what looks for
its entries, is pure: texts and verdict rows in, findings out.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

__all__ = ["LogSignature", "Signatures", "Symptom"]

_ANSWERING = ("preflight.ready", "preflight.baseline")

_STATED = (
    "preflight.model",
    "preflight.tokenizer",
    "preflight.distinct",
    "preflight.context",
    "preflight.versions",
    "preflight.known_defects",
    "preflight.clock",
    "preflight.date",
    "fleet.configuration",
    "capability.bf16",
    "capability.mxfp4",
    "capability.context",
)
"""Rows that statements of the server or the user answer: no breakdown of a server explains them."""


@dataclass(frozen=True)
class LogSignature:
    """A failure by what a log or an answer says of it.

    ``explains``: shell patterns of threshold ids, or the words "answering" and "measured" for groups of them.
    ``after``: it shows only below a line that this finds, and above the next one that ``until`` finds, so
    never in an answer. ``cause`` finds the line, a little below, that tells why.
    """

    name: str
    pattern: re.Pattern[str]
    remedy: str
    explains: tuple[str, ...] = ("*",)
    source: str = ""
    after: re.Pattern[str] | None = None
    until: re.Pattern[str] | None = None
    cause: re.Pattern[str] | None = None

    def may_explain(self, threshold_id: str) -> bool:
        """Whether a red row of this id may come from this failure."""
        group = _group(threshold_id)
        return any(each == group or fnmatchcase(threshold_id, each) for each in self.explains)


@dataclass(frozen=True)
class Symptom:
    """A failure by what the verdicts say of it: which fail, which hold, which lie how far beyond.

    ``above`` and ``below`` are held against a relative difference with its sign: positive is worse.
    """

    name: str
    fails: tuple[str, ...]
    remedy: str
    holds: tuple[str, ...] = ()
    above: Mapping[str, float] = field(default_factory=dict)
    below: Mapping[str, float] = field(default_factory=dict)
    below_version: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class Signatures:
    """The whole table, in reading order."""

    log: tuple[LogSignature, ...]
    symptoms: tuple[Symptom, ...]

    def match(self, line: str, *, begun: Container[str] = ()) -> LogSignature | None:
        """The first signature that a text shows; ``begun`` names those whose ``after`` has been seen."""
        return next(
            (
                each
                for each in self.log
                if (each.after is None or each.name in begun) and each.pattern.search(line)
            ),
            None,
        )


def _group(threshold_id: str) -> str | None:
    """The group of rows, as ``explains`` names it, that a row belongs to; None for a stated one."""
    if threshold_id in _ANSWERING:
        return "answering"
    return None if threshold_id in _STATED else "measured"
