"""A run judged or recorded again rests on what was measured: nobody is asked, nothing is made up."""

import json

import pytest

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.model.arrivals import Arrivals, TraceFile
from pytest_gptoss.model.errors import MeasurementError, UsageError
from pytest_gptoss.model.inputs import LoadShape, LoadTask
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.run.replay import replayed
from pytest_gptoss.scenarios.kinds import Greedy

DEVICES = (
    DeviceSettings("npu", "npu", "http://127.0.0.1:9"),
    DeviceSettings("gpu", "gpu", "http://127.0.0.1:9"),
)


@pytest.fixture
def begun(tmp_path):
    """Begin a run; all end with the test."""
    runs = []

    def begin(settings, told=None):
        run = AcceptanceRun(settings, make_plan(settings), tell=[].append if told is None else told.append)
        runs.append(run)
        run.begin()
        return run

    yield begin
    for run in runs:
        run.close()


@pytest.fixture
def own_prompts(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('["Hello!"]')
    return path


def test_a_run_that_ended_before_probing_asks_nobody_when_replayed(begun, tmp_path):
    begun(Settings(devices=DEVICES, report=tmp_path / "first")).close()
    again = begun(replayed(Settings(replay=tmp_path / "first", report=tmp_path / "again")))
    with pytest.raises(MeasurementError, match="ended before its devices were probed"):
        again.devices.probed()
    assert again.verdict("npu", "precision.leakage").status == "INVALID"


@pytest.mark.parametrize("stated", [{}, {"format": 1}, {"format": 3}, {"format": "2"}, {"format": None}])
def test_a_run_of_another_format_is_to_be_measured_again(begun, tmp_path, stated):
    begun(Settings(devices=DEVICES, report=tmp_path / "first")).close()
    path = tmp_path / "first" / "run" / "run.json"
    facts = json.loads(path.read_text())
    assert facts.pop("format") == 2
    path.write_text(json.dumps({**facts, **stated}))
    with pytest.raises(UsageError, match=r"format .*, this version reads 2; measure again in a new run$"):
        replayed(Settings(replay=tmp_path / "first", report=tmp_path / "again"))


def test_a_replay_tells_the_prompts_that_were_measured(begun, tmp_path, own_prompts):
    first = begun(Settings(devices=DEVICES, prompts=own_prompts, report=tmp_path / "first"))
    first.close()
    second = begun(replayed(Settings(replay=tmp_path / "first", report=tmp_path / "second")))
    second.close()
    third = begun(replayed(Settings(replay=tmp_path / "second", report=tmp_path / "third")))
    assert first.facts() == second.facts() == third.facts()
    assert third.facts()["prompts_sha256"] != third.plan.workload.facts()["prompts_sha256"]
    begun(replayed(Settings(replay=tmp_path / "first", prompts=own_prompts, report=tmp_path / "same")))
    own_prompts.write_text('["Goodbye!"]')
    with pytest.raises(UsageError, match="--gptoss-prompts: the replayed run was measured on other prompts"):
        begun(replayed(Settings(replay=tmp_path / "first", prompts=own_prompts, report=tmp_path / "other")))


def test_recording_asks_nobody_and_keeps_the_earlier_file(begun, tmp_path):
    told = []
    (tmp_path / "base.zip").write_bytes(b"good")
    settings = Settings(devices=DEVICES, record=tmp_path / "base.zip", report=tmp_path / "report")
    run = begun(settings, told)
    assert run.record() == ()
    assert run.store.load_document("devices") is None
    assert (tmp_path / "base.zip").read_bytes() == b"good"
    assert told == ["gptoss: no baseline was measured for base.zip: the one that is there stays"]


def test_a_prompt_set_or_a_level_that_nobody_has_is_named(begun, tmp_path, monkeypatch):
    run = begun(Settings(devices=DEVICES, report=tmp_path / "report"))
    monkeypatch.setattr(run.devices, "probed", dict)
    monkeypatch.setattr(run.devices, "device", lambda name: None)
    with pytest.raises(
        MeasurementError, match=r"no prompt set is called 'nope'; there are: precision, smoke"
    ):
        run.measure(Greedy("npu", prompts="nope"))


TRACE = LoadShape(
    2, 30, 900, 40, "completions", longest=930, duration_s=60,
    arrivals=Arrivals(1.5, "trace", trace=TraceFile("gone.csv", "0" * 64)),
)  # fmt: skip
OPEN = LoadTask(
    rates=(0.5, 8.0), law="gamma", cv=2.0, seed=7, trace=TRACE, duration_s=20, ramp_up_s=2, slo_ttft_ms=500,
    endpoint="completions",
)  # fmt: skip


def test_a_replay_has_the_open_levels_of_its_run_and_reads_no_trace(begun, tmp_path):
    first = begun(Settings(devices=DEVICES, load=OPEN, report=tmp_path / "first"))
    first.close()
    again = replayed(Settings(replay=tmp_path / "first", report=tmp_path / "again"))
    assert again.load == OPEN
    levels = begun(again).plan.workload.levels
    assert levels == first.plan.workload.levels
    assert list(levels)[-3:] == ["r0.5", "r8", "trace"]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("load.rates", []),
        ("load.rates", [8.0, 8.0]),
        ("load.rates", [-1.0]),
        ("load.rates[-1]", [1.0, 1e6]),
        ("load.cv", 0.0),
        ("load.law", "uniform"),
        ("load.seed", -1),
        ("load.duration_s", -3.0),
        ("load.slo_share", 95.0),
        ("load.trace.requests", 0),
        ("load.trace.longest", 10**12),
        ("load.trace.arrivals", None),
    ],
)
def test_a_damaged_open_level_is_no_finished_run(begun, tmp_path, place, value):
    begun(Settings(devices=DEVICES, load=OPEN, report=tmp_path / "first")).close()
    path = tmp_path / "first" / "run" / "run.json"
    facts = json.loads(path.read_text())
    *steps, last = place.removesuffix("[-1]").split(".")
    table = facts
    for step in steps:
        table = table[step]
    table[last] = value
    path.write_text(json.dumps(facts))
    with pytest.raises(UsageError, match="no finished run there") as refused:
        replayed(Settings(replay=tmp_path / "first", report=tmp_path / "again"))
    assert place.removesuffix(".arrivals") in str(refused.value)
