"""Known failures by what the verdicts say: which rows fail, which hold, how far beyond their limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from pytest_gptoss.diagnosis.signatures import Symptom
from pytest_gptoss.judge.facts import release
from pytest_gptoss.model.json_type import Json

__all__ = ["read_symptoms"]

Rows = Sequence[Mapping[str, Json]]

Versions = Mapping[str, Mapping[str, str]]


def read_symptoms(symptoms: Iterable[Symptom], rows: Rows, versions: Versions) -> list[dict[str, Json]]:
    """What the verdicts of each device under test point at.

    ``versions``: device -> component -> version, as far as known; an unknown version does not acquit.
    """
    found = []
    for npu in dict.fromkeys(row["npu"] for row in rows):
        own = {row["threshold_id"]: row for row in rows if row["npu"] == npu}
        for symptom in symptoms:
            failed = _failed(symptom, own, versions.get(npu, {}))
            if failed:
                found.append(
                    {
                        "kind": "symptom",
                        "device": npu,
                        "name": symptom.name,
                        "file": None,
                        "line": None,
                        "text": None,
                        "remedy": symptom.remedy,
                        "source": symptom.source,
                        "explains": failed,
                    }
                )
    return found


def _failed(
    symptom: Symptom, own: Mapping[str, Mapping[str, Json]], versions: Mapping[str, str]
) -> list[str]:
    """The failed rows that a symptom rests on; empty when it does not show."""
    failed = [each for each, row in own.items() if row["verdict"] == "FAIL" and _any(each, symptom.fails)]
    for pattern in symptom.holds:
        held = [row for each, row in own.items() if fnmatchcase(each, pattern)]
        if not held or any(row["verdict"] != "PASS" for row in held):
            return []
    above = ((_figure(own.get(row)), limit) for row, limit in symptom.above.items())
    below = ((_figure(own.get(row)), limit) for row, limit in symptom.below.items())
    if not all(figure is not None and figure > limit for figure, limit in above):
        return []
    if not all(figure is not None and figure < limit for figure, limit in below):
        return []
    for component, version in symptom.below_version.items():
        known = release(versions[component]) if component in versions else None
        if known is not None and known >= (release(version) or ()):
            return []
    return failed


def _figure(row: Mapping[str, Json] | None) -> float | None:
    """A row's figure with its sign: limits on a difference are limits on its size."""
    if row is None:
        return None
    signed: float | None = (row.get("details") or {}).get("relative_percent", row["value"])
    return signed


def _any(threshold_id: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(threshold_id, pattern) for pattern in patterns)
