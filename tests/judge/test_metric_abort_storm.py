"""Canaries in a storm of aborted requests: confirmed or not, and when the storm was none."""

import numpy as np
import pytest
from made import failure, measurement, scored, top

from pytest_gptoss.judge.metrics.abort_storm import abort_storm
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.results import StressAnswer

QUIET = measurement("npu", [scored("p1", [-0.1] * 10)])


def canary(kind, number, *, deficit=0.0, tokens=10):
    """An answer whose tokens each lie by ``deficit`` below the likeliest one."""
    return StressAnswer(
        sequence_id=f"{kind}-{number}",
        token_ids=(7, 8, *range(tokens)),
        first=2,
        logprobs=np.full(tokens, -0.1 - deficit),
        top=top(*[{1: -0.1, 2: -3.0}] * tokens),
        kind=kind,
    )


def storm(*more, **fields):
    quiet, during = ([canary(kind, number) for number in range(4)] for kind in ("before", "canary"))
    return measurement("npu", [*quiet, *during, *more], **fields)


def ended(count):
    return {f"stream-{number:02d}": "the answer ended before it was left" for number in range(count)}


def test_answers_in_a_storm_are_confirmed():
    found = abort_storm(storm=storm(), quiet=QUIET)
    assert (found.value, found.n, found.details["aborted"], found.details["before"]) == (1.0, 4, 64, 1.0)


def test_an_answer_over_anothers_rows_is_not_confirmed():
    found = abort_storm(storm=storm(canary("canary", 9, deficit=1.0)), quiet=QUIET)
    assert (found.value, found.n) == (0.8, 5)
    assert "first canary-9, from token 0 on" in found.details["finding"]


def test_an_answer_before_the_storm_is_told_and_not_judged():
    found = abort_storm(storm=storm(canary("before", 9, deficit=1.0)), quiet=QUIET)
    assert (found.value, found.details["before"]) == (1.0, 0.8)


@pytest.mark.parametrize("deficit", [0.0, 2**-9, 0.5])
def test_near_ties_are_not_departures(deficit):
    assert abort_storm(storm=storm(canary("canary", 9, deficit=deficit)), quiet=QUIET).value == 1.0


def test_a_storm_of_which_half_came_to_its_own_end_is_none():
    assert abort_storm(storm=storm(left_out=ended(32)), quiet=QUIET).details["aborted"] == 32
    with pytest.raises(InsufficientData, match="31 of 64 streams were left before they ended"):
        abort_storm(storm=storm(left_out=ended(33)), quiet=QUIET)


def test_what_failed_is_not_judged():
    with pytest.raises(InsufficientData, match="no token within 60 s"):
        abort_storm(storm=storm(failures=(failure(),)), quiet=QUIET)
    left_out = {"canary-0-0": "the server did not tell its token ids"}
    with pytest.raises(InsufficientData, match="did not tell its token ids"):
        abort_storm(storm=measurement("npu", [], left_out=left_out), quiet=QUIET)


def test_a_storm_of_whose_answers_few_were_scored_is_not_judged():
    unscored = {f"canary-{number}": "no time was left" for number in range(100, 109)}
    with pytest.raises(InsufficientData, match="8 of 17 drawn answers could be scored"):
        abort_storm(storm=storm(left_out=unscored), quiet=QUIET)
    assert abort_storm(storm=storm(left_out={**ended(9)}), quiet=QUIET).n == 4
