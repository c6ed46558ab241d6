"""A level of an open loop, measured on a server that stamps: its schedule, its lengths, its warm-up."""

import dataclasses

import pytest

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.arrivals import Arrivals
from pytest_gptoss.model.errors import RequestError
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.subjects import Capabilities, Device
from pytest_gptoss.scenarios.arrival_times import arrival_times
from pytest_gptoss.scenarios.kinds import Load
from pytest_gptoss.scenarios.load_level import LevelRun, why_too_long
from pytest_gptoss.scenarios.open_levels import schedule_of, trace_level
from pytest_gptoss.scenarios.truth import truth_server

SHAPE = LoadShape(3, 12, 64, 4, "completions", arrivals=Arrivals(40.0, seed=5))


@pytest.fixture(scope="module")
def quick():
    """A ground-truth server whose answers take some milliseconds."""
    with truth_server("--first-token-ms=5", "--interval-ms=1") as server:
        yield server


@pytest.fixture
def trace(tmp_path):
    """The level of a trace, and its file."""
    path = tmp_path / "trace.jsonl"
    rows = [(0, 30, 2), (100, 200, 5), (100, 7, 3), (350, 64, 4)]
    path.write_text("".join(
        f'{{"timestamp": {at}, "input_length": {prompt}, "output_length": {output}}}\n'
        for at, prompt, output in rows
    ))  # fmt: skip
    return trace_level(path, speed=1.0, most=None, duration_s=None), path


def measured(server, shape, *, level="r40", trial=0):
    ended = []
    device = Device("npu", "npu", server.endpoint.root, "npu", "m", None, None, Capabilities())
    server.forget()
    run = LevelRun(
        Load("npu", level, trial), shape, device,
        make_client=lambda: VllmClient(server.endpoint, role="npu"), on_end=lambda: ended.append(1),
    )  # fmt: skip
    run.measure()
    assert len(ended) == len(run.level.requests)
    return run.level, server.stamps()


def due_of(level):
    """Nanoseconds between the first request's due time and each one's."""
    return [each.intended_ns - level.requests[0].intended_ns for each in level.requests]


def test_a_level_follows_its_schedule_behind_a_warm_up(quick):
    level, stamps = measured(quick, SHAPE)
    assert [each.error for each in level.requests] == [None] * 12
    due = arrival_times(SHAPE.arrivals, count=12)
    assert due_of(level) == [each - due[0] for each in due]
    warm = {name for name in stamps if "-warm-" in name}
    assert len(warm) == SHAPE.concurrency
    assert set(stamps) - warm == {each.id for each in level.requests}
    # The warm-up is over before the first request is due.
    assert max(stamps[name].end_ns for name in warm) < level.requests[0].intended_ns
    assert all(stamps[each.id].read_ns >= each.intended_ns for each in level.requests)
    assert {each.asked for each in level.requests} == {None}


def test_another_trial_has_other_arrivals(quick):
    level, _ = measured(quick, SHAPE, trial=1)
    due = arrival_times(SHAPE.arrivals, count=12, trial=1)
    assert due_of(level) == [each - due[0] for each in due]
    assert due != arrival_times(SHAPE.arrivals, count=12)


def test_a_traces_requests_have_lengths_of_their_own(quick, trace):
    shape, _ = trace
    level, stamps = measured(quick, shape, level="trace")
    assert [each.asked for each in level.requests] == [(30, 2), (200, 5), (7, 3), (64, 4)]
    assert due_of(level) == [0, 100_000_000, 100_000_000, 350_000_000]
    assert [sum(stamps[each.id].tokens) for each in level.requests] == [2, 5, 3, 4]
    assert {name: sum(each.tokens) for name, each in stamps.items() if "-warm-" in name}.keys()


def test_a_trace_that_has_changed_since_is_not_measured(trace):
    shape, path = trace
    path.write_text(path.read_text() + '{"timestamp": 400, "input_length": 1, "output_length": 1}\n')
    assert len(schedule_of(shape).due_ns) == 4  # what was added is not used
    path.write_text(path.read_text().replace("200", "201"))
    with pytest.raises(RequestError, match=r"trace.jsonl: it has changed since the run began: measure again"):
        schedule_of(shape)
    path.unlink()
    with pytest.raises(RequestError, match=r"cannot be read any more .*No such file.*measure again"):
        schedule_of(shape)


def test_a_traces_ramp_warps_its_times(trace):
    shape, _ = trace
    due = schedule_of(dataclasses.replace(shape, ramp_up_s=0.4)).due_ns
    assert due == pytest.approx([0, 282_842_712, 282_842_712, 550_000_000], abs=1)


def test_a_closed_level_has_no_schedule():
    assert schedule_of(LoadShape(1, 2, 3, 4)).due_ns is None


def test_a_trace_is_as_long_as_its_longest_request(trace):
    shape, _ = trace
    assert (shape.prompt_tokens, shape.max_tokens, shape.longest) == (200, 5, 205)
    assert why_too_long(shape, device="npu", context=205) is None
    assert "the trace's longest request needs a context of 205 tokens and npu serves 204" in why_too_long(
        shape, device="npu", context=204
    )


def test_titles_say_how_a_level_is_loaded():
    assert Load("npu", "r0.5").title == "npu under load, r0.5: 0.5 requests a second"
    assert Load("npu", "trace", 1).title == "npu under load, trace again (2)"
    assert Load("npu", "c16").title == "npu under load, 16 at once"
