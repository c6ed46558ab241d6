"""A moment that is waited for has come when the wait ends, on either event loop."""

from time import monotonic_ns

import pytest

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.client.load.closed_loop import run_closed_loop
from pytest_gptoss.client.load.job import LoadJob, LoadTarget
from pytest_gptoss.client.load.moments import until
from pytest_gptoss.client.load.requests import LoadRequest

WAITS_NS = [0, 1, 400_000, 1_499_999, 1_500_001, 1_900_000, 2_400_000, 2_600_000, 3_333_333]
"""Also such as a timer in whole milliseconds ends too early."""


@pytest.mark.parametrize("fast", [False, True])
def test_no_wait_ends_before_its_moment(fast):
    async def early():
        over = []
        for wait in WAITS_NS * 5:
            at = monotonic_ns() + wait
            await until(at)
            over.append(monotonic_ns() - at)
        return over

    assert min(run_async(early(), fast=fast)) >= 0


def test_a_wait_ends_where_it_is_halted():
    run_async(until(monotonic_ns() + 10**15, lambda: True))


def test_no_request_is_sent_before_the_run_begins(truth):
    async def runs():
        found = []
        for place, wait in enumerate(WAITS_NS):

            async def begin(ahead=wait):
                return monotonic_ns() + ahead

            body = {"stream": True, "messages": [], "max_tokens": 1, "truth": {"first_token_ms": 0}}
            request = LoadRequest(f"begin-{monotonic_ns()}-{place}", "/v1/chat/completions", body)
            job = LoadJob(LoadTarget(truth.endpoint), (request,), 1, begin=begin)
            found.append(await run_closed_loop(job, on_end=lambda _: None))
        return found

    for run in run_async(runs(), fast=True):
        assert run.started_ns <= run.requests[0].start_ns
