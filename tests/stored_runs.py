"""A stored run and a recorded baseline with every kind of file, made without servers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from pytest_gptoss.config.plan import Plan, make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.judge.conditions import CPU, FIRST, PEER
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.inputs import LoadTask
from pytest_gptoss.model.results import (
    AbortTrace,
    BadRequest,
    DriftPoint,
    Generation,
    HiddenStates,
    InstrumentError,
    LoadLevel,
    LoopHealth,
    Measurement,
    NeedleAnswer,
    RequestTiming,
    ScoredSequence,
    StressAnswer,
    ToolCall,
    TopLogprobs,
)
from pytest_gptoss.model.subjects import Capabilities, Device, KnownFact, ServerFacts
from pytest_gptoss.model.token_text import text_of
from pytest_gptoss.run.baseline import record_baseline
from pytest_gptoss.run.replay import run_facts
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.devices import ProbedDevice
from pytest_gptoss.scenarios.drift import positions
from pytest_gptoss.scenarios.features import TOOL_SCHEMAS, item_ids
from pytest_gptoss.scenarios.kinds import (
    Chunked,
    Drift,
    Feature,
    Forced,
    Greedy,
    Hidden,
    Load,
    Needle,
    Preflight,
    Rendered,
)

DEVICES = (
    DeviceSettings("npu", "npu", "http://127.0.0.1:9"),
    DeviceSettings("gpu", "gpu", "http://127.0.0.1:10"),
)
TASK = LoadTask(concurrency=(1, 4))
ITEMS = 4
"""Prompts and sequences of each measurement: enough for every figure, few enough to read 500 times."""
TOKENS = 12
_LATE_MS = {1: 40, 4: 45, 8: 50, 16: 60}


def make_run(directory: Path) -> Plan:
    """A finished run of two devices below ``directory``, every measurement of the embedded profile sound."""
    settings = Settings(devices=DEVICES, profile="embedded", report=directory, load=TASK)
    plan = make_plan(settings)
    store = Store(directory / "run")
    store.begin()
    store.save_document("run", run_facts(settings, "embedded", plan.workload.facts()))
    store.save_document("id", "0f" * 16)
    store.save_document("devices", [_probed(each).document() for each in DEVICES])
    store.save_document("logs", {})
    store.save_document("selected", [["npu", threshold_id] for threshold_id in plan.thresholds])
    error = InstrumentError(1, 20, 0.1, 0.3, 0.01, 0.05, 1.0)
    store.save_document(
        "instrument",
        {
            "1": {"error": asdict(error), "problem": None},
            "4": {"error": None, "problem": "the server did not start"},
        },
    )
    store.save_document("log-findings", [_LOG_FINDING])
    for name in ("noise_floor", "edges"):
        if name in plan.info_names:
            store.save_document(f"info-npu-{name}", _INFO)
    for scenario in scenarios(plan):
        store.save(_measured(scenario, plan))
    return plan


def scenarios(plan):
    """Every scenario that the plan's rows and the figures beside them need."""
    roles = Roles(subject="npu", gpu="gpu", cpu=None, prompt_ids_of=None, trials=1, first=None,
                  needle_lengths=plan.needle_lengths)  # fmt: skip
    metrics = [plan.metrics[row.metric] for row in plan.thresholds.values()]
    metrics += [plan.metrics[name] for metric in metrics for name in metric.info]
    kept = [metric for metric in metrics if metric.condition not in (CPU, FIRST, PEER)]
    needed = dict.fromkeys(each for metric in kept for each in metric.needs(roles).values())
    return [each for each in needed if each.unknown_input(plan.workload) is None]


def make_baseline(path: Path, run: Path, plan: Plan) -> None:
    """The baseline file that recording this run would have written."""
    facts = {**plan.workload.facts(), "inputs": "chat"}
    kept = record_baseline(path, Store(run / "run"), {"gpu": _probed(DEVICES[1]).document()}, facts)
    assert len(kept) > 10


_LOG_FINDING = {
    "kind": "log", "device": "npu", "name": "acl-graph", "file": "npu.log", "line": 17, "text": "EZ9999",
    "remedy": "add --enforce-eager", "source": "guide", "explains": ["precision.kl"], "times": 3,
}  # fmt: skip
_INFO = {
    "value": 0.5, "unit": "nat", "n": 4, "ci": [0.4, 0.6], "finding": "a finding",
    "details": {
        "edges": {"npu-gpu": {"perplexity_ratio": 1.0, "kl": 0.0, "n": 4}}, "odd_one_out": None,
        "finding": "a finding",
    },
}  # fmt: skip


def _probed(device):
    able = Capabilities(True, True, True, True, True, True, True, True, {})
    found = Device(
        device.role, device.name, device.url, device.name.upper(), "gpt-oss-20b", "0.18.0", 131072, able
    )
    return ProbedDevice(device.name, found)


def _measured(scenario, plan):
    provenance = {
        "needle": asdict(plan.workload.needle),
        "schemas": dict(TOOL_SCHEMAS),
        "model": "gpt-oss-20b",
    }
    return Measurement(
        scenario.id, scenario.device, tuple(_items(scenario, plan)), started="2026-01-01T00:00:00.000+00:00",
        ended="2026-01-01T00:01:00.000+00:00", provenance=provenance, left_out={"long": "too long to score"},
    )  # fmt: skip


def _items(scenario, plan):
    random = np.random.default_rng(7)
    if isinstance(scenario, Greedy | Rendered):
        prompts = plan.workload.prompt_sets[scenario.prompts].prompts[:ITEMS]
        return [_answer(prompt.id, index) for index, prompt in enumerate(prompts)]
    if isinstance(scenario, Forced):
        if scenario.outputs is None:
            return [_scored(f"s{index}", _IDS, 1) for index in range(ITEMS)]
        answers = _items(scenario.outputs, plan)
        return [_scored(each.prompt_id, (*each.prompt_token_ids, *each.token_ids), 3) for each in answers]
    if isinstance(scenario, Hidden):
        states = random.normal(size=(TOKENS, 4)).astype(np.float32)
        return [HiddenStates(f"s{index}", tuple(range(TOKENS)), states + index) for index in range(ITEMS)]
    if isinstance(scenario, Needle):
        said = "nothing of the kind" if scenario.control else "The secret code is 7842."
        planned = scenario.length - 200
        return [NeedleAnswer(0, "7842", planned, scenario.depth, planned, said, "so", "stop", False, 80.0, 0)]
    if isinstance(scenario, Drift):
        return [DriftPoint(length, at, 290, f"{at:064x}", -1.5) for length, at in _spots(scenario)]
    if isinstance(scenario, Load):
        return [_level(scenario, plan)]
    if isinstance(scenario, Chunked):
        return [_scored(f"s{index}", _IDS, 1) for index in range(ITEMS)]
    if StressAnswer in scenario.item_classes:
        return [
            _stressed(f"a{index}", kind)
            for kind in STRESSED.get(scenario.word, ("",))
            for index in range(ITEMS)
        ]
    if isinstance(scenario, Preflight):
        known = (KnownFact("dtype", "bfloat16", "npu.log:3"), KnownFact("vllm_ascend", "0.18.0", "npu.log:4"))
        return [
            ServerFacts(
                "0f" * 16, (f"127.0.0.1:{scenario.device}",), 0.5, ("gpt-oss-20b",), "gpt-oss-20b", "",
                "0.18.0", 131072, 0.0, "2026-01-01", known, None, 1000.0,
            )
        ]  # fmt: skip
    return _tried(scenario, plan)


def _spots(scenario):
    found = positions(scenario)
    return [(each.spot, each.position) if hasattr(each, "spot") else tuple(each)[:2] for each in found]


def _tried(scenario: Feature, plan):
    if scenario.feature == "abort":
        return [AbortTrace(0, 1, ((0.1, 1), (0.5, 0)), 30.0)]
    ids = item_ids(scenario.feature, plan.workload.prompt_sets["features"])
    if scenario.feature == "bad-requests":
        return [BadRequest(each, 400, "bad request", alive=True) for each in ids]
    return [_answer(each, 0, tools="tools" in scenario.feature) for each in ids]


_ANALYSIS = (200005, 35644, 200008)
_FINAL = (200007, 200006, 173781, 200005, 17196, 200008)
_END = 200002
_IDS = tuple(range(2000, 2000 + TOKENS))


def _answer(prompt_id, index, *, tools=False):
    ids = (*_ANALYSIS, 1000 + index, *_FINAL, 1001 + index, _END)
    city = prompt_id.partition("-")[0]
    calls = (ToolCall("get_weather", f'{{"city": "{city}"}}'),) if tools else ()
    return Generation(
        prompt_id, (1, 2, 3), ids, text_of((1000 + index,)), text_of((1001 + index,)), calls,
        "tool_calls" if tools else "stop", 3, TOKENS, np.full(TOKENS, -0.5), _top(TOKENS, ids),
    )  # fmt: skip


def _top(rows, ids):
    likeliest = np.array([[token, 11, 12] for token in ids[:rows]], dtype=np.int32)
    return TopLogprobs(likeliest, np.tile(np.array([-0.5, -1.5, -2.5], np.float32), (rows, 1)))


def _scored(name, ids, first):
    return ScoredSequence(
        name, ids, first, np.full(len(ids) - first, -0.5), _top(len(ids) - first, ids[first:])
    )


STRESSED = {"prefix": ("cold", "cached"), "storm": ("before", "canary")}
"""Kinds of answers by the scenario kind's word, where it tells several apart."""


def _stressed(name, kind):
    top = _top(TOKENS, _IDS)
    two = TopLogprobs(top.ids[:, :2], top.logprobs[:, :2])
    return StressAnswer(name, (1, 2, 3, *_IDS), 3, np.full(TOKENS, -0.5), two, kind=kind)


def _level(scenario, plan):
    shape = plan.workload.levels[scenario.level]
    late, step = _LATE_MS[shape.concurrency] * 1_000_000, 5_000_000
    requests = []
    for index in range(shape.requests):
        start = index * 10_000_000
        stamps = tuple(start + late + step * place for place in range(shape.max_tokens))
        requests.append(
            RequestTiming(
                f"r{index}", start, start + 1000, stamps, (1,) * shape.max_tokens, stamps[0],
                stamps[-1] + 1000, shape.prompt_tokens, shape.max_tokens, 0, "length", None, "ids",
            )
        )  # fmt: skip
    health = LoopHealth(0.1, 0.3, 1.0, 0.2)
    return LoadLevel(shape, tuple(requests), health, (0.2, 0.3), 60, 16, {"generation_tokens": 256.0})
