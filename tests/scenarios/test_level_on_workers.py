"""A load level whose load comes from several processes: measured as ever, or refused with what there is."""

import dataclasses
from functools import partial

import pytest

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.client.load.controller import WorkerError
from pytest_gptoss.client.load.workers import run_in_processes
from pytest_gptoss.model.arrivals import Arrivals, Slo
from pytest_gptoss.model.capacity import CapacityTask
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.results import InstrumentError
from pytest_gptoss.model.subjects import Capabilities, Device
from pytest_gptoss.scenarios.calibration import worst_error
from pytest_gptoss.scenarios.capacity import CapacityRun
from pytest_gptoss.scenarios.job import Alone
from pytest_gptoss.scenarios.kinds import Load
from pytest_gptoss.scenarios.load_level import LevelRun

SHAPE = LoadShape(2, 6, 64, 4, "completions")
SHAPES = {"closed": SHAPE, "open": dataclasses.replace(SHAPE, arrivals=Arrivals(40.0, seed=5))}


def level_run(server, shape, drive, ended):
    device = Device("npu", "npu", server.endpoint.root, "npu", "m", None, None, Capabilities())
    return LevelRun(
        Load("npu", "c02"),
        shape,
        device,
        make_client=lambda: VllmClient(server.endpoint, role="npu"),
        on_end=lambda: ended.append(1),
        drive=drive,
    )


@pytest.mark.parametrize("kind", SHAPES)
def test_a_level_is_measured_by_two_processes(truth, kind):
    ended = []
    run = level_run(truth, SHAPES[kind], partial(run_in_processes, workers=2), ended)
    run.measure()
    assert len(ended) == len(run.level.requests) == 6
    assert not any(each.error for each in run.level.requests)
    assert len(run.level.health.cpu_shares) == 2
    assert [each.intended_ns is None for each in run.level.requests] == [kind == "closed"] * 6


def test_capacity_is_looked_for_by_the_runs_workers(truth):
    rates = []

    def driven(job, *, on_end):
        rates.append(len(job.requests))
        return run_in_processes(job, workers=2, on_end=on_end)

    task = CapacityTask(Slo(ttft_ms=5000), 8, 2, probe_s=0.5, first_rate=8, most_rate=12, seed=1)
    device = Device("npu", "npu", truth.endpoint.root, "npu", "m", None, None, Capabilities())
    alone = Alone(lambda: VllmClient(truth.endpoint, role="npu"), lambda: None)
    run = CapacityRun(device, task, alone, driven)
    run.measure()
    assert len(rates) == len(run.items) > 1
    assert {each.failed for each in run.items} == {0}


def test_what_had_ended_stays_where_a_worker_was_lost(truth):
    def lost(job, *, on_end):
        run_in_processes(dataclasses.replace(job, requests=job.requests[:2]), workers=1, on_end=on_end)
        raise WorkerError("load worker 2 of 2 ended")

    run = level_run(truth, SHAPE, lost, [])
    with pytest.raises(WorkerError):
        run.measure()
    assert len(run.items[0].requests) == 2
    assert run.items[0].health is None


def test_the_worst_of_several_instruments_is_told():
    one = InstrumentError(1, 8, 0.2, 0.9, -0.03, 0.05, 1.0)
    other = InstrumentError(1, 9, -0.4, 0.7, 0.01, 0.08, 0.97)
    assert worst_error([one, other], concurrency=2) == InstrumentError(2, 17, -0.4, 0.9, -0.03, 0.08, 0.97)
