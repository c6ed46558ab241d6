"""Requests whose client leaves, judged from traces written down by hand."""

import pytest
from made import measurement

from pytest_gptoss.judge.metrics.abort_frees import abort_frees
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.results import AbortTrace


def trace(before=0, during=1, after=((0.1, 0),), natural_s=30.0):
    return measurement("npu", [AbortTrace(before, during, tuple(after), natural_s)])


def test_an_aborted_request_frees_its_slot():
    freed = abort_frees(npu=trace(before=2, during=3, after=((0.1, 3), (0.2, 2))))
    assert (freed.value, freed.details["freed_s"]) == (0, 0.2)
    kept = abort_frees(npu=trace(after=((0.1, 1), (10.0, 1))))
    assert kept.value == 1
    assert "still counts 1 running requests 10 s after" in kept.details["finding"]


def test_an_abort_that_proves_nothing_is_none():
    with pytest.raises(InsufficientData, match="did not raise"):
        abort_frees(npu=trace(before=3, during=3))
    with pytest.raises(InsufficientData, match=r"by itself 1\.0 s later"):
        abort_frees(npu=trace(after=((2.0, 0),), natural_s=1.0))
    with pytest.raises(ConditionAbsent, match="/metrics"):
        abort_frees(npu=measurement("npu", [], left_out={"abort": "npu has no /metrics"}))


def test_tokens_that_the_server_counted_prove_an_early_end():
    # By its pace the request would have ended at once: the count of tokens says that it had not.
    early = AbortTrace(0, 1, ((0.1, 0),), natural_s=0.0, room=4096, generated=300)
    estimate = abort_frees(npu=measurement("npu", [early]))
    assert (estimate.value, estimate.details["generated"]) == (0, 300)
    whole = AbortTrace(0, 1, ((0.1, 0),), natural_s=30.0, room=4096, generated=4096, trials=5)
    with pytest.raises(InsufficientData, match=r"generated 4096 tokens .* proves nothing, 5 times"):
        abort_frees(npu=measurement("npu", [whole]))


@pytest.mark.parametrize(
    ("during", "after"),
    [(2, ((0.1, 2), (10.0, 1))), (1, ((0.1, 0), (0.2, 1), (10.0, 1))), (1, ((0.1, 2), (10.0, 2)))],
)
def test_a_count_that_moves_without_us_condemns_nobody(during, after):
    with pytest.raises(InsufficientData, match="moves without us"):
        abort_frees(npu=trace(during=during, after=after))
