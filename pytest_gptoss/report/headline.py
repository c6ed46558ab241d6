"""The run in a few words: its verdict, its counts, and what a person should look at first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.verdicts import FORCED
from pytest_gptoss.report.document import several_servers
from pytest_gptoss.report.fleet import fleet_words
from pytest_gptoss.report.tables.changed import changes
from pytest_gptoss.report.tables.verdict_words import interval, limit, value
from pytest_gptoss.report.wording import Wording

__all__ = [
    "CLOSE",
    "Attention",
    "Tally",
    "attention",
    "attention_text",
    "blocked_by",
    "changed",
    "close",
    "counts",
    "partial",
    "sentence",
    "tallies",
    "tone",
    "verdict_words",
]

CLOSE = 0.1
"""A row that passed with less headroom than this nearly did not."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Rows that share a status and a reason: one thing to look at.

    ``blocked_by``: the row whose own reason, told elsewhere, spoils these.
    """

    status: str
    reason: str
    rows: tuple[Mapping[str, Json], ...]
    blocked_by: str | None = None


def verdict_words(document: Mapping[str, Json], translate: Wording) -> str:
    """The run's verdict; the embedded pair is never called accepted, whatever it passes."""
    verdict = document["run"]["verdict"]
    word = translate(f"run.{verdict}")
    fleet = fleet_words(document, translate)
    if fleet:
        word += fleet
    elif verdict == "PASSED IN PART":
        contract = _contract(document)
        word += translate("part", passed=contract["PASS"], total=contract.total())
    if any(row.get("statistic") == FORCED for row in document["verdicts"]):
        word += translate("compared.forced")
    if document["run"]["profile"] != "embedded":
        return word
    return f"{translate('embedded')} ({translate('embedded.passed') if verdict == 'ACCEPTED' else word})"


def _contract(document: Mapping[str, Json]) -> Counter[str]:
    """How many of the guide's thresholds ended how, on all devices; OPEN: without a verdict."""
    judged = Counter(row["verdict"] for row in document["verdicts"] if row["tier"] == "contract")
    judged["OPEN"] = sum(row["tier"] == "contract" for row in document["not_judged"])
    return judged


def tone(document: Mapping[str, Json]) -> str:
    """The status whose colour the whole run takes; green is for a device that was accepted, no less."""
    verdict = document["run"]["verdict"]
    if verdict == "ACCEPTED" and document["run"]["profile"] == "embedded":
        return "SHOWN"
    tones = {"ACCEPTED": "PASS", "PASSED IN PART": "SHOWN", "NOT ACCEPTED": "FAIL", "INVALID": "INVALID"}
    return tones.get(verdict, "OPEN")


def partial(document: Mapping[str, Json], translate: Wording) -> str | None:
    """What a reader must know of a part; None of a whole.

    Some of the guide's own thresholds have no verdict, or a device was more than one server.
    """
    found = _contract(document)
    others, waived, skipped = found["OPEN"], found["WAIVED"], found["SKIPPED"]
    said = [translate("servers", found=each) for each in several_servers(document["measurements"])]
    if others + waived + skipped:
        said = [
            translate("partial", total=found.total(), others=others, waived=waived, skipped=skipped),
            *said,
        ]
    return " ".join(said) or None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows ended in one way."""

    status: str
    count: int
    word: str


def tallies(document: Mapping[str, Json], translate: Wording) -> list[Tally]:
    """How many rows ended how, those without a verdict last."""
    found = Counter(row["verdict"] for row in document["verdicts"])
    found["OPEN"] = len(document["not_judged"])
    statuses = ("FAIL", "INVALID", "PASS", "WAIVED", "SKIPPED", "OPEN")
    return [Tally(status, found[status], translate(f"status.{status}")) for status in statuses]


def counts(document: Mapping[str, Json], translate: Wording) -> str:
    """How many rows ended how, in a sentence."""
    found = Counter(row["verdict"] for row in document["verdicts"])
    return translate(
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
    found: dict[tuple[str, str, str | None], list[Mapping[str, Json]]] = {}
    for status in ("FAIL", "INVALID", "WAIVED"):
        for row in document["verdicts"]:
            if row["verdict"] == status:
                # Each breach is its own; a reason that spoils many rows is told once.
                own = row["threshold_id"] + row["npu"] if status == "FAIL" else ""
                blocker = blocked_by(row, document["verdicts"])
                reason = own + (row["reason"] or "") if blocker is None else ""
                found.setdefault((status, reason, blocker), []).append(row)
    return [
        Attention(status, rows[0]["reason"] or "", tuple(rows), blocker)
        for (status, _, blocker), rows in found.items()
    ]


def blocked_by(
    row: Mapping[str, Json],
    verdicts: Iterable[Mapping[str, Json]],
    statuses: Container[str] = ("FAIL", "INVALID"),
) -> str | None:
    """The row that this one rests on and that does not hold, where its verdict is told too."""
    blocker: str | None = row["details"].get("blocked_by")
    told_too = any(
        each["threshold_id"] == blocker and each["npu"] == row["npu"] and each["verdict"] in statuses
        for each in verdicts
    )
    return blocker if told_too else None


def attention_text(each: Attention, translate: Wording) -> str:
    """What to report about it: a breach's figures, then the reason."""
    if each.blocked_by is not None:
        return translate("blocked", row=each.blocked_by)
    parts = [sentence(row, translate) for row in each.rows if row["value"] is not None]
    return "; ".join([*parts, *([each.reason] if each.reason else [])])


def sentence(row: Mapping[str, Json], translate: Wording) -> str:
    """A verdict's figures in words: value, limit, n, interval."""
    words = {
        "value": value(row, translate),
        "limit": limit(row, translate),
        "n": translate.figure(row["n"]),
    }
    if row["ci"] is None:
        return translate("sentence", **words)
    return translate("sentence.interval", **words, interval=interval(row, translate))


def changed(document: Mapping[str, Json], translate: Wording) -> str | None:
    """The limits that are not the profile's, in a line; None when all are."""
    found = [f"{name} {before} -> {now}" for name, before, now in changes(document, translate)]
    return translate("near.changed", changes=", ".join(found)) if found else None


def close(row: Mapping[str, Json]) -> bool:
    """Whether a row passed with little room: its next run may fail. What a server states does not waver."""
    if row["verdict"] != "PASS" or row["comparison"] == "=" or row["headroom"] is None:
        return False
    stated = row["family"] in ("preflight", "capability")
    return not stated and bool(row["headroom"] < CLOSE)
