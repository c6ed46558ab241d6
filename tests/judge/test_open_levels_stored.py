"""Stored open levels, judged and reported: what the rows say of each other, and names with a dot in files."""

import dataclasses
import json

import pytest
from made_load import instrument
from made_open import SLO, arriving, open_level, spaced

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.judge.profile_rows import with_levels
from pytest_gptoss.model.inputs import LoadTask
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.verdicts import Threshold
from pytest_gptoss.report.builders.load_levels import load_levels, load_requests
from pytest_gptoss.run.instrument import instrument_errors
from pytest_gptoss.run.judging import Judging
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Load

LEVEL = "r0.5"
TASK = LoadTask(calibrate=False)


def limit(figure, most, statistic="median", comparison="<", unit="ms"):
    name = f"{figure}.{LEVEL}"
    return Threshold(
        f"performance.{name}", "performance", name, statistic, comparison, most, unit, "assurance", "ours"
    )


LIMITS = (limit("ttft", 100.0), limit("qps", 0.1, "whole run", ">", "req/s"), limit("send_delay", 1e6))


class Estimating:
    """Estimates from the store alone."""

    def __init__(self, store):
        self._store = store

    def estimate(self, metric, roles, statistic=None):
        measured = {name: self._store.load(each.id) for name, each in metric.needs(roles).items()}
        return metric.compute(**measured, **({"statistic": statistic} if len(metric.statistics) > 1 else {}))


class Info:
    def keep(self, metric, roles):
        """Print nothing beside a row."""


@pytest.fixture
def run(tmp_path):
    """A run's plan, store and judge with this open level, as it was stored and read again."""

    def make(made):
        device = DeviceSettings("npu", "npu", "http://127.0.0.1:1")
        settings = Settings(devices=(device,), profile="embedded", load=TASK, report=tmp_path / "report")
        store = Store(tmp_path / "run")
        store.begin()
        store.save(Measurement(Load("npu", LEVEL, 0).id, "npu", (made,)))
        plan = make_plan(settings)
        table = with_levels({each.id: each for each in LIMITS}, {LEVEL: made.shape})
        workload = dataclasses.replace(plan.workload, levels={**plan.workload.levels, LEVEL: made.shape})
        plan = dataclasses.replace(plan, thresholds=table, workload=workload)
        store = Store(tmp_path / "run")
        return plan, store, Judging(settings, plan, store, Estimating(store), Info())

    return make


def judged(judging, *figures):
    found = [judging.verdict("npu", f"performance.{figure}.{LEVEL}") for figure in figures]
    return [verdict.status for verdict in found], [verdict.reason for verdict in found]


def test_a_sound_level_passes(run):
    _, _, judging = run(spaced(*[50.0] * 60, slo=SLO))
    statuses, _ = judged(judging, "ttft", "qps", "send_delay", "stable", "goodput")
    assert statuses == ["PASS"] * 5


def test_an_overloaded_level_fails_one_row_and_makes_its_latencies_invalid(run):
    slow = [arriving(f"r{i}", i * 100, 50 + i * 200, 100 + i * 200) for i in range(120)]
    _, _, judging = run(open_level(*slow))
    statuses, reasons = judged(judging, "stable", "ttft", "qps", "send_delay")
    assert statuses == ["FAIL", "INVALID", "PASS", "PASS"]
    assert reasons[0].startswith("overloaded: the queue grew by 40 requests")
    assert reasons[1].startswith(f"performance.stable.{LEVEL} does not hold: overloaded: the queue grew by")


def test_a_late_client_is_told_without_calibration(run):
    _, _, judging = run(spaced(*[50.0] * 60, late=6))
    statuses, reasons = judged(judging, "ttft", "qps")
    assert statuses == ["INVALID", "PASS"]
    assert reasons[0].startswith("the client was late, not the server: the median of its send delay is 6 ms")


def test_the_calibration_of_an_open_level_is_kept_by_its_name(tmp_path):
    store = Store(tmp_path / "run")
    store.begin()
    kept = {
        name: {"error": dataclasses.asdict(instrument(4)), "problem": None} for name in ("16", LEVEL, "trace")
    }
    store.save_document("instrument", kept)
    assert list(instrument_errors(store)) == ["c16", LEVEL, "trace"]


def test_the_document_tells_the_level(run):
    plan, store, _ = run(spaced(*[50.0] * 59, 150.0, late=2, slo=SLO))
    load = load_levels(store, plan, devices=["npu"], task=TASK)
    (row,) = load["levels"]
    assert (row["level"], row["concurrency"], row["rate"], row["arrivals"]) == (LEVEL, None, 8.0, "poisson")
    assert row["goodput"] == pytest.approx(59 / 60)
    assert row["send_delay_ms"]["p50"] == pytest.approx(2)
    assert 1 <= row["ttft_ms"]["effective"] <= 60
    assert row["full_concurrency"] is None
    assert len(row["timeline"]["s"]) == len(row["timeline"]["waiting"]) <= 200
    (first, *_) = load_requests(store, plan, devices=["npu"], task=TASK)
    assert (first["concurrency"], first["level"], first["intended_ns"]) == (None, LEVEL, 0)
    json.dumps(load, allow_nan=False)


def test_a_verdict_of_a_level_with_a_dot_is_stored(tmp_path):
    store = Store(tmp_path / "run")
    store.begin()
    for level in ("r0.5", "r0", "r0.25"):
        store.save_verdict("npu", f"performance.ttft.{level}", {"level": level})
    assert sorted(each["level"] for each in store.verdicts()) == ["r0", "r0.25", "r0.5"]


def test_a_stored_level_of_which_nothing_was_asked_is_no_crash(run):
    plan, store, judging = run(open_level(asked=0, slo=SLO, max_tokens=3))
    assert set(judged(judging, "ttft", "stable", "goodput")[0]) == {"INVALID"}
    assert load_levels(store, plan, devices=["npu"], task=TASK)["levels"][0]["completed"] == 0
