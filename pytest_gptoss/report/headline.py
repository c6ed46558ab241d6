"""The run in a few words: its verdict, its counts, and what a person should look at first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_gptoss.records import Json
from pytest_gptoss.report.tables import interval, limit
from pytest_gptoss.report.wording import Wording

__all__ = [
    "CLOSE",
    "Attention",
    "Tally",
    "attention",
    "changed",
    "close",
    "counts",
    "partial",
    "sentence",
    "tallies",
    "told",
    "tone",
    "verdict_words",
]

CLOSE = 0.1
"""A row that passed with less headroom than this nearly did not."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Rows that share a status and a reason: one thing to look at."""

    status: str
    reason: str
    rows: tuple[Mapping[str, Json], ...]


def verdict_words(document: Mapping[str, Json], say: Wording) -> str:
    """The run's verdict; the embedded pair is never called accepted without saying what it is."""
    word = say(f"run.{document['run']['verdict']}")
    return f"{say('embedded')} ({word})" if document["run"]["profile"] == "embedded" else word


def tone(document: Mapping[str, Json]) -> str:
    """The status whose colour the whole run takes."""
    tones = {"ACCEPTED": "PASS", "NOT ACCEPTED": "FAIL", "INVALID": "INVALID"}
    return tones.get(document["run"]["verdict"], "OPEN")


def partial(document: Mapping[str, Json], say: Wording) -> str | None:
    """What a reader must know when some of the guide's own thresholds were left out."""
    open_rows = [row for row in document["not_judged"] if row["tier"] == "contract"]
    return say("partial", count=len(open_rows)) if open_rows else None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows ended in one way."""

    status: str
    count: int
    word: str


def tallies(document: Mapping[str, Json], say: Wording) -> list[Tally]:
    """How many rows ended how, those without a verdict last."""
    found = Counter(row["verdict"] for row in document["verdicts"])
    found["OPEN"] = len(document["not_judged"])
    statuses = ("FAIL", "INVALID", "PASS", "WAIVED", "SKIPPED", "OPEN")
    return [Tally(status, found[status], say(f"status.{status}")) for status in statuses]


def counts(document: Mapping[str, Json], say: Wording) -> str:
    """How many rows ended how, in a sentence."""
    found = Counter(row["verdict"] for row in document["verdicts"])
    return say(
        "counts",
        passed=found["PASS"],
        failed=found["FAIL"],
        invalid=found["INVALID"],
        waived=found["WAIVED"],
        skipped=found["SKIPPED"],
        selected=document["run"]["selected"],
        others=len(document["not_judged"]),
    )


def attention(document: Mapping[str, Json]) -> list[Attention]:
    """What failed, then what is invalid, then what was waived; rows with one reason together."""
    found: dict[tuple[str, str], list[Mapping[str, Json]]] = {}
    for status in ("FAIL", "INVALID", "WAIVED"):
        for row in document["verdicts"]:
            if row["verdict"] == status:
                # Each breach is its own; a reason that spoils many rows is told once.
                own = row["threshold_id"] + row["npu"] if status == "FAIL" else ""
                found.setdefault((status, own + (row["reason"] or "")), []).append(row)
    return [Attention(status, rows[0]["reason"] or "", tuple(rows)) for (status, _), rows in found.items()]


def told(each: Attention, say: Wording) -> str:
    """What to say about it: a breach's figures, then the reason."""
    parts = [sentence(row, say) for row in each.rows if row["value"] is not None]
    return "; ".join([*parts, *([each.reason] if each.reason else [])])


def sentence(row: Mapping[str, Json], say: Wording) -> str:
    """A verdict's figures in words: value, limit, n, interval."""
    words = {
        "value": say.figure(row["value"], row["unit"], apart_from=row["limit"]),
        "limit": limit(row, say),
        "n": say.figure(row["n"]),
    }
    if row["ci"] is None:
        return say("sentence", **words)
    return say("sentence.interval", **words, interval=interval(row, say))


def changed(document: Mapping[str, Json], say: Wording) -> str | None:
    """The limits that are not the profile's, in a line; None when all are."""
    changes = [
        f"{name} {say.figure(change['from'])} -> {say.figure(change['to'])}"
        for name, change in document["run"]["changed_limits"].items()
    ]
    return say("near.changed", changes=", ".join(changes)) if changes else None


def close(row: Mapping[str, Json]) -> bool:
    """Whether a row passed with little room: its next run may fail. What a server states does not waver."""
    if row["verdict"] != "PASS" or row["comparison"] == "=" or row["headroom"] is None:
        return False
    stated = row["family"] in ("preflight", "capability")
    return not stated and bool(row["headroom"] < CLOSE)
