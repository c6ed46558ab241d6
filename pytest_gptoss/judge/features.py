"""Features that do not show over HTTP: which configuration has them, and what its comparisons say.

Pure: known facts of each configuration and verdict rows in, a row for each feature and configuration out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.subjects import KnownFact

__all__ = ["FEATURE_FACTS", "Facts", "Outcome", "Rows", "feature_findings", "outcome_of"]

Facts: TypeAlias = Mapping[str, KnownFact]
Rows: TypeAlias = Sequence[Mapping[str, Json]]
Outcome: TypeAlias = Literal["agrees", "departs", "not judged"]
"""What comparisons say: one failed; some passed and none is in doubt; or neither."""
Told: TypeAlias = tuple[bool, KnownFact]

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")


def _switch(name: str) -> Callable[[Facts], Told | None]:
    def told(facts: Facts) -> Told | None:
        fact = facts.get(name)
        said = fact.value.strip().lower() if fact is not None else ""
        return (said in _TRUE, fact) if fact is not None and said in (*_TRUE, *_FALSE) else None

    return told


def _size(name: str) -> Callable[[Facts], Told | None]:
    def told(facts: Facts) -> Told | None:
        fact = facts.get(name)
        return (int(fact.value) > 1, fact) if fact is not None and fact.value.isdecimal() else None

    return told


def _graphs(facts: Facts) -> Told | None:
    """Graphs are captured unless the server is eager or its graph mode is NONE."""
    eager, mode = _switch("enforce_eager")(facts), facts.get("cudagraph_mode")
    if eager is not None and eager[0]:
        return False, eager[1]
    if "ascend_graphs" in facts:
        return True, facts["ascend_graphs"]
    if mode is not None:
        return mode.value.upper() != "NONE", mode
    return None if eager is None else (True, eager[1])


_FEATURES: Mapping[str, Callable[[Facts], Told | None]] = {
    "aclgraph": _graphs,
    "tp": _size("tensor_parallel_size"),
    "pp": _size("pipeline_parallel_size"),
    "ep": _switch("enable_expert_parallel"),
}
FEATURE_FACTS: Mapping[str, str] = {
    "aclgraph": "enforce_eager=False",
    "tp": "tensor_parallel_size=2",
    "pp": "pipeline_parallel_size=2",
    "ep": "enable_expert_parallel=True",
}
"""Each feature with a fact that tells it, as ``--gptoss-info`` takes it."""


def feature_findings(npus: Iterable[str], facts: Mapping[str, Facts], rows: Rows) -> list[dict[str, Json]]:
    """Each feature with its configurations: ``device``, ``has`` (null: not known), ``setting``, ``source``,
    ``against_gpu`` and ``against_first`` (an ``Outcome``), and ``departs``, the rows that failed.
    """
    compared = {npu: _compared(npu, rows) for npu in npus}
    return [
        {
            "feature": feature,
            "configurations": [
                {"device": npu, **_said(told(facts.get(npu, {}))), **compared[npu]} for npu in compared
            ],
        }
        for feature, told in _FEATURES.items()
    ]


def _said(told: Told | None) -> dict[str, Json]:
    if told is None:
        return {"has": None, "setting": None, "source": None}
    has, fact = told
    return {"has": has, "setting": f"{fact.name}={fact.value}", "source": fact.source}


def _compared(npu: str, rows: Rows) -> dict[str, Json]:
    own = [row for row in rows if row["npu"] == npu]
    of_gpu = [row for row in own if row["threshold_id"].startswith("precision.")]
    of_first = [row for row in own if row["threshold_id"].startswith("configuration.")]
    return {
        "against_gpu": outcome_of(of_gpu),
        "against_first": outcome_of(of_first),
        "departs": [row["threshold_id"] for row in (*of_gpu, *of_first) if row["verdict"] == "FAIL"],
    }


def outcome_of(rows: Iterable[Mapping[str, Json]]) -> Outcome:
    """What the verdicts of a comparison say together."""
    verdicts = {row["verdict"] for row in rows}
    if "FAIL" in verdicts:
        return "departs"
    return "agrees" if "PASS" in verdicts and "INVALID" not in verdicts else "not judged"
