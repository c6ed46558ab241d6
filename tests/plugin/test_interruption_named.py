"""A row whose measuring was broken off says by what, however late it comes to what is left of it."""

import threading
from types import SimpleNamespace

import pytest
from small_server import Hold, measured, small_server

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.model.inputs import LoadTask
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.run.progress import Progress
from pytest_gptoss.scenarios import load_level
from pytest_gptoss.scenarios.kinds import Greedy


def raising(monkeypatch, error, after=3):
    """Let ``error`` break the measuring off when so many answers have come."""
    left = [after]

    def step(*_):
        left[0] -= 1
        if left[0] == 0:
            raise error

    monkeypatch.setattr(Progress, "step", step)


@pytest.fixture
def run_on(tmp_path):
    runs = []

    def start(**urls):
        devices = tuple(DeviceSettings(role, role, url) for role, url in urls.items())
        load = LoadTask(concurrency=(1,), requests=4, max_tokens=40, calibrate=False)
        settings = Settings(devices=devices, profile="embedded", load=load, report=tmp_path / "report")
        run = AcceptanceRun(settings, make_plan(settings), tell=lambda _: None)
        runs.append(run)
        run.begin()
        return run

    yield start
    for run in runs:
        run.close()


CAUSES = {
    "a plugin": (pytest.fail.Exception("Timeout (>1.0s) from pytest-timeout."), "Failed: Timeout (>1.0s)"),
    "memory": (MemoryError(), "MemoryError"),
    "ctrl-c": (KeyboardInterrupt(), "Ctrl-C"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_later_rows_name_what_interrupted_the_measuring(run_on, monkeypatch, cause):
    error, said = CAUSES[cause]
    raising(monkeypatch, error)
    with small_server() as npu, small_server() as gpu:
        run = run_on(npu=npu, gpu=gpu)
        with pytest.raises(type(error)):
            run.verdict("npu", "precision.leakage")
        later = [run.verdict("npu", row) for row in ("precision.leakage", "precision.rouge_l")]
    for verdict in later:
        assert verdict.status == "INVALID"
        assert f"npu: measuring was interrupted by {said}" in verdict.reason


def test_the_store_says_it_too(run_on, monkeypatch):
    raising(monkeypatch, KeyboardInterrupt())
    with small_server() as npu:
        run = run_on(npu=npu)
        with pytest.raises(KeyboardInterrupt):
            run.verdict("npu", "precision.leakage")
        run.store._measurements.clear()
        verdict = run.verdict("npu", "precision.leakage")
    assert "interrupted by Ctrl-C" in verdict.reason


def test_a_device_that_was_measured_beside_it_says_it_too(run_on, monkeypatch):
    """One device's measuring is broken off, by an error of the other's."""
    hold = Hold(measured, 0)
    after = SimpleNamespace(
        wait=lambda path, body: measured(path, body) and hold.reached.wait(60), released=threading.Event()
    )
    raising(monkeypatch, OSError(28, "No space left on device"), after=1)
    greedy = Greedy("npu", "precision"), Greedy("gpu", "precision")
    with small_server(after) as npu, small_server(hold) as gpu:
        run = run_on(npu=npu, gpu=gpu)
        with pytest.raises(OSError, match="No space"):
            run.measure(*greedy)
        measurements = run.measure(*greedy)
    assert [each.complete for each in measurements] == [False, False]
    for each in measurements:
        assert "interrupted by OSError: [Errno 28] No space left on device" in each.failures[0].message


@pytest.mark.parametrize("cause", CAUSES)
def test_a_load_level_says_it_too(run_on, monkeypatch, cause):
    error, said = CAUSES[cause]

    def broken(*_, **__):
        raise error

    monkeypatch.setattr(load_level, "run_load", broken)
    with small_server() as npu:
        run = run_on(npu=npu)
        with pytest.raises(type(error)):
            run.verdict("npu", "performance.completed.c01")
        verdict = run.verdict("npu", "performance.completed.c01")
    assert verdict.status == "INVALID"
    assert f"interrupted by {said}" in verdict.reason


def test_an_answer_that_came_before_is_judged(run_on, monkeypatch):
    """Of the two questions that preflight asks, the first was answered: its row stands."""
    raising(monkeypatch, KeyboardInterrupt(), after=1)
    rows = ("preflight.smoke_hi", "preflight.smoke_paris")
    with small_server() as npu:
        run = run_on(npu=npu)
        with pytest.raises(KeyboardInterrupt):
            run.verdict("npu", rows[0])
        reasons = [run.verdict("npu", row).reason for row in rows]
    assert ["interrupted by Ctrl-C" in reason for reason in reasons] == [False, True], reasons
