"""What the reports draw beside the verdicts: every prompt side by side, the edges, notes in words.

Whatever a renderer shows comes from here, through ``acceptance.json``: no figure is computed twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.judge.vocabulary import unlike
from pytest_gptoss.model.errors import DamagedFile
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, Measurement
from pytest_gptoss.model.stored_json import Mismatch, typed
from pytest_gptoss.report.builders.token_diffs import token_diff
from pytest_gptoss.report.formats.precision import CONTRACT_METRICS
from pytest_gptoss.run.store import Store, info_name
from pytest_gptoss.scenarios.kinds import Greedy, Preflight

__all__ = ["findings"]

SAME_AS_ITSELF = 1.0
"""What the baseline gets in a figure that compares with the baseline."""

Rows = Sequence[Mapping[str, Json]]


def findings(store: Store, roles: Iterable[Roles], rows: Rows, *, info: Sequence[str]) -> dict[str, Json]:
    """The ``measurements`` part of the report document, from what the store holds.

    ``rows`` are the verdicts as reports carry them, ``info`` names the info metrics in order;
    nothing is measured or judged here.
    """
    found: dict[str, Json] = {
        name: [] for name in ("precision", "prompts", "divergence", "edges", "info", "notes", "scenarios")
    }
    for each in roles:
        noted = _info(store, each.subject, info)
        found["info"].extend(noted)
        found["precision"].extend(_precision(each.subject, rows))
        found["prompts"].extend(_prompts(store, each, rows))
        found["divergence"].extend(_divergence(each.subject, rows))
        found["edges"].extend(_edges(each.subject, noted))
        found["notes"].extend(row["finding"] for row in noted if row["finding"])
    found["scenarios"] = [_scenario(store.load(scenario_id)) for scenario_id in store.scenario_ids()]
    return found


@dataclass(frozen=True)
class _Info:
    """An info metric as the store keeps it."""

    value: float | None
    unit: str | None
    n: int | None
    ci: tuple[float, float] | None
    details: Mapping[str, Json]
    finding: str | None


@dataclass(frozen=True)
class _Edge:
    """Two devices compared, in the details of the info metric ``edges``."""

    perplexity_ratio: float | None
    kl: float | None
    n: int


@dataclass(frozen=True)
class _Edges:
    edges: Mapping[str, _Edge]
    odd_one_out: str | None
    finding: str | None = None


def _read_info(store: Store, npu: str, name: str) -> _Info | None:
    """An info metric, None when it was not kept; one that cannot be read says so as its finding."""
    try:
        found: _Info | None = store.load_document(info_name(npu, name), _Info)
        if found is not None and found.value is not None and name == "edges":
            typed(_Edges, dict(found.details))
    except (DamagedFile, Mismatch) as error:
        return _Info(None, None, None, None, {}, say("{name} is not known: {error}", name=name, error=error))
    return found


def _info(store: Store, npu: str, names: Sequence[str]) -> list[dict[str, Json]]:
    documents = ((name, _read_info(store, npu, name)) for name in names)
    rows = [
        {"device": npu, "name": name, **asdict(document), "ci": document.ci and list(document.ci)}
        for name, document in documents
        if document is not None
    ]
    drifts = [row for row in rows if row["name"].startswith("position_drift.")]
    told = _longest_drift(drifts)
    return [row for row in rows if row not in drifts or row in told]


def _longest_drift(drifts: Rows) -> list[Mapping[str, Json]]:
    """The longest drift that is known, which holds the shorter ones, and the first that is not."""
    known = [row for row in drifts if row["value"] is not None]
    unknown = [row for row in drifts if row["value"] is None]
    return [*known[-1:], *unknown[:1]]


def _edges(npu: str, info: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    return [
        {"edge": edge, "device": npu, **figures, "odd_one_out": row["details"]["odd_one_out"]}
        for row in info
        if row["name"] == "edges" and row["value"] is not None
        for edge, figures in row["details"]["edges"].items()
    ]


def _precision(npu: str, rows: Rows) -> list[dict[str, Json]]:
    """The guide's result table: the baseline's figure, the device's, and the difference."""
    return [
        {"device": npu, "threshold_id": row["threshold_id"], **_compared(row)}
        for row in rows
        if row["npu"] == npu and row["threshold_id"] in CONTRACT_METRICS
    ]


def _compared(row: Mapping[str, Json]) -> dict[str, Json]:
    perplexity = row["details"].get("perplexity")
    if perplexity is not None:
        npu, gpu = perplexity["npu"], perplexity["gpu"]
    else:
        npu, gpu = row["value"], None if row["value"] is None else SAME_AS_ITSELF
    known = npu is not None and gpu is not None
    return {"gpu": gpu, "npu": npu, "difference": npu - gpu if known else None}


def _divergence(npu: str, rows: Rows) -> list[dict[str, Json]]:
    """Agreement and KL by position and by the baseline's margin, where they were measured."""
    tables = {
        f"{figure}_by_{key}": _details(rows, npu, metric).get(f"by_{key}")
        for figure, metric in (("agreement", "forced_agreement"), ("kl", "kl"))
        for key in ("position", "margin")
    }
    return [{"device": npu, **tables}] if any(tables.values()) else []


def _prompts(store: Store, roles: Roles, rows: Rows) -> list[dict[str, Json]]:
    """Both devices' answers to every prompt; what one of them did not give is null."""
    if roles.gpu is None:
        return []
    needs = metric_named("token_match_rate").needs(roles)
    answers = {role: _answers(store, scenario) for role, scenario in needs.items()}
    ours, theirs = answers["npu"], answers["gpu"]
    compared = {
        row["prompt_id"]: row for row in _details(rows, roles.subject, "token_match_rate").get("prompts", ())
    }
    rouge = _details(rows, roles.subject, "rouge_l").get("prompts", {})
    foreign = _foreign(store, roles)
    return [
        {
            "id": prompt_id,
            "device": roles.subject,
            "prompt_token_ids_equal": _equal(ours.get(prompt_id), theirs.get(prompt_id)),
            "npu_token_ids": _ids(ours.get(prompt_id)),
            "gpu_token_ids": _ids(theirs.get(prompt_id)),
            "match": compared.get(prompt_id, {}).get("match"),
            "fork": compared.get(prompt_id, {}).get("fork"),
            "diff": _diff(compared.get(prompt_id), ours.get(prompt_id), theirs.get(prompt_id), foreign),
            "rouge_l": rouge.get(prompt_id),
        }
        for prompt_id in dict.fromkeys([*theirs, *ours])
    ]


def _diff(
    row: Mapping[str, Json] | None,
    ours: Generation | None,
    theirs: Generation | None,
    foreign: frozenset[str],
) -> Json:
    if row is None or not row["fork"] or ours is None or theirs is None:
        return None
    return token_diff(ours, theirs, row["fork"]["index"], foreign=foreign)


def _foreign(store: Store, roles: Roles) -> frozenset[str]:
    """The sides whose server was found to have another vocabulary than GPT-OSS."""
    devices = {"npu": roles.subject, "gpu": roles.gpu}
    told = {role: store.load(Preflight(name).id) for role, name in devices.items() if name is not None}
    found = {role: unlike(each.items[0]) for role, each in told.items() if each is not None and each.items}
    return frozenset(role for role, each in found.items() if each is not None and each.missing)


def _answers(store: Store, scenario: Any) -> dict[str, Generation]:
    if not isinstance(scenario, Greedy):
        return {}
    measurement: Measurement[Generation] | None = store.load(scenario.id)
    return {} if measurement is None else {item.prompt_id: item for item in measurement.items}


def _details(rows: Rows, npu: str, metric: str) -> Mapping[str, Json]:
    for row in rows:
        if row["npu"] == npu and row["threshold_id"] == f"precision.{metric}":
            details: Mapping[str, Json] = row["details"]
            return details
    return {}


def _equal(ours: Generation | None, theirs: Generation | None) -> bool | None:
    if ours is None or theirs is None or ours.prompt_token_ids is None or theirs.prompt_token_ids is None:
        return None
    return ours.prompt_token_ids == theirs.prompt_token_ids


def _ids(answer: Generation | None) -> list[int] | None:
    return None if answer is None or answer.token_ids is None else list(answer.token_ids)


def _scenario(measurement: Measurement[Any] | None) -> dict[str, Json] | None:
    """A measurement's account without its items."""
    if measurement is None:
        return None
    return {
        "id": measurement.scenario_id,
        "device": measurement.device,
        "items": len(measurement.items),
        "failures": [
            {"item": failure.item_id, "kind": failure.kind, "message": failure.message}
            for failure in measurement.failures
        ],
        "left_out": dict(measurement.left_out),
        "complete": measurement.complete,
        "started": measurement.started,
        "ended": measurement.ended,
    }
