"""The offset of another machine's clock, as round trips tell it, and stamps moved by it."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.client.load import LoadRun
from pytest_gptoss.client.load.clocks import Clock, moved, moved_run, read_clock
from pytest_gptoss.model.results import LoopHealth, RequestTiming

TIMING = RequestTiming("a", 10, 12, (20, 30), (1, 2), 25, 31, intended_ns=9)
MILLISECOND = 1_000_000


class Way:
    """Two clocks and the way between them: each direction takes a time of its own, drawn by seed."""

    def __init__(self, offset_ns, seed):
        self.at_ns = 10**12
        self.offset_ns = offset_ns
        self._draw = random.Random(seed)

    def ask(self):
        self._pass()
        there = self.at_ns + self.offset_ns
        self._pass()
        return there

    def now(self):
        return self.at_ns

    def _pass(self):
        self.at_ns += self._draw.choice([1, 1, 1, 40]) * self._draw.randrange(50_000, MILLISECOND)


@given(offset_ns=st.integers(-(10**15), 10**15), seed=st.integers(0, 200))
def test_the_true_offset_lies_within_the_stated_error(offset_ns, seed):
    way = Way(offset_ns, seed)
    clock = read_clock(way.ask, now=way.now)
    assert abs(clock.offset_ns - offset_ns) <= clock.error_ns
    assert clock.error_ns <= 2 * MILLISECOND


def test_drift_between_two_readings_is_part_of_the_error():
    assert Clock(1000, 40).error_until(Clock(1300, 25)) == 340
    assert Clock(1000, 40).error_until(Clock(700, 90)) == 390


@given(by_ns=st.integers(-(10**15), 10**15))
def test_moving_changes_no_duration(by_ns):
    there = moved(TIMING, by_ns)
    stamps = lambda each: [  # noqa: E731
        each.start_ns, each.sent_ns, *each.token_ns, each.first_text_ns, each.end_ns, each.intended_ns
    ]  # fmt: skip
    assert [at - before for at, before in zip(stamps(there), stamps(TIMING), strict=True)] == [by_ns] * 7
    assert moved(there, -by_ns) == TIMING


def test_what_never_was_stays_so():
    unsent = replace(TIMING, sent_ns=None, first_text_ns=None, intended_ns=None)
    there = moved(unsent, 5)
    assert (there.sent_ns, there.first_text_ns, there.intended_ns) == (None, None, None)


def test_a_run_moves_without_its_requests():
    run = LoadRun((TIMING,), LoopHealth(0, 0, 0, 0), 100, 200)
    assert moved_run(run, 7) == LoadRun((TIMING,), LoopHealth(0, 0, 0, 0), 107, 207)


@pytest.mark.parametrize("by_ns", [0])
def test_one_clock_moves_nothing(by_ns):
    assert moved(TIMING, by_ns) is TIMING
