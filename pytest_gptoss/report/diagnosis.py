"""What was diagnosed, in words: each finding with its remedy, and the verdicts that it explains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.wording import Wording

__all__ = ["Finding", "advice", "diagnosis"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: what was seen and where, what to do, and the thresholds it may explain."""

    seen: str
    remedy: str
    explains: tuple[str, ...]
    device: str

    @property
    def text(self) -> str:
        """The finding in a line."""
        return f"{self.seen}: {self.remedy}"


def diagnosis(document: Mapping[str, Json], translate: Wording) -> list[Finding]:
    """Every finding of the diagnosis, what the logs say first."""
    return [
        Finding(_seen(found, translate), found["remedy"], tuple(found["explains"]), found["device"])
        for found in document["measurements"].get("diagnosis") or ()
    ]


def advice(findings: Iterable[Finding], rows: Iterable[Mapping[str, Json]]) -> list[str]:
    """The findings that explain one of these verdicts."""
    judged = list(rows)
    return [found.text for found in findings if any(row["threshold_id"] in found.explains for row in judged)]


def _seen(found: Mapping[str, Json], translate: Wording) -> str:
    if found["kind"] == "symptom":
        return f"{found['device']}: {found['name'].replace('-', ' ')}"
    times = translate("diagnosis.times", count=found["times"]) if found["times"] > 1 else ""
    if found["kind"] == "answer":
        return translate("diagnosis.answer", device=found["device"], times=times, text=found["text"].strip())
    return f"{found['device']}, {found['file']}:{found['line']}{times}: {found['text'].strip()}"
