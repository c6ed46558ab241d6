"""The instrument's own error: right by arithmetic, and found when the instrument is made bad on purpose."""

import asyncio
import time

import pytest

from pytest_gptoss.client.load import LoadJob, LoadRequest, LoadRun, LoadTarget, run_closed_loop
from pytest_gptoss.model.errors import MeasurementError
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.results import Failure, LoopHealth, RequestTiming
from pytest_gptoss.scenarios.calibration import calibrate, instrument_error
from pytest_gptoss.scenarios.truth import TrueRequest

MS = 1_000_000
HEALTH = LoopHealth(0, 0, 0, 0)


def true(name, read_ms, *, ttft_ms=80, step_ms=5, tokens=(1, 1, 1), end_ms=0):
    first = (read_ms + ttft_ms) * MS
    stamps = tuple(first + place * step_ms * MS for place in range(len(tokens)))
    return TrueRequest(name, read_ms * MS, stamps, tokens, first, stamps[-1] + end_ms * MS)


def timed(request, *, sent_early_ms=0.0, first_late_ms=0.0, last_late_ms=0.0, **fields):
    """What a client saw of a request: sent so much before it was read, first and last token so late."""
    token_ns = list(request.token_ns)
    token_ns[0] += round(first_late_ms * MS)
    token_ns[-1] += round(last_late_ms * MS)
    sent_ns = request.read_ns - round(sent_early_ms * MS)
    seen = {"token_ns": tuple(token_ns), "tokens": request.tokens, **fields}
    return RequestTiming(
        id=request.id, start_ns=sent_ns, sent_ns=sent_ns, first_text_ns=None, end_ns=token_ns[-1], **seen
    )


def error_of(pairs, concurrency=1):
    run = LoadRun(tuple(timing for timing, _ in pairs), HEALTH, 0, 1)
    return instrument_error(run, {request.id: request for _, request in pairs}, concurrency=concurrency)


def test_errors_are_measured_minus_true():
    late = true("a", 0)
    early = true("b", 1000)
    error = error_of(
        [
            (timed(late, sent_early_ms=1, first_late_ms=2, last_late_ms=2), late),
            (timed(early, first_late_ms=1, last_late_ms=-1), early),
        ]
    )
    assert (error.requests, error.concurrency) == (2, 1)
    assert error.ttft_bias_ms == pytest.approx((3 + 1) / 2)
    assert error.ttft_p99_ms == pytest.approx(3)
    # Two tokens after the first one: 2 ms less between first and last make 1 ms less for each.
    assert error.tpot_bias_ms == pytest.approx((0 - 1) / 2)
    assert error.tpot_p99_ms == pytest.approx(0)


def test_tokens_of_the_first_event_are_no_steps():
    request = true("a", 0, tokens=(3, 1, 1))
    assert error_of([(timed(request, last_late_ms=4), request)]).tpot_bias_ms == pytest.approx(4 / 2)


def test_the_99th_percentile_is_a_request_that_was():
    requests = [true(str(place), place * 200) for place in range(200)]
    pairs = [(timed(request, first_late_ms=place, last_late_ms=place), request)
             for place, request in enumerate(requests)]  # fmt: skip
    assert error_of(pairs).ttft_p99_ms == pytest.approx(197)


def test_a_client_that_lets_the_server_wait_holds_less_load():
    # Each request takes 90 ms; after each, a prompt client sends at once, a slow one 10 ms later.
    prompt = [true(str(place), place * 90) for place in range(5)]
    slow = [true(str(place), place * 100) for place in range(5)]
    assert error_of([(timed(each), each) for each in prompt]).load_held == pytest.approx(1.0)
    assert error_of([(timed(each), each) for each in slow]).load_held == pytest.approx(0.9)
    assert error_of([(timed(each), each) for each in prompt], concurrency=2).load_held == pytest.approx(0.5)


def test_requests_sent_at_once_hold_the_whole_load():
    pairs = [(timed(each), each) for each in (true("a", 0), true("b", 0))]
    assert error_of(pairs, concurrency=4).load_held == pytest.approx(1.0)


def test_an_instrument_that_loses_something_measures_nothing():
    request = true("a", 0)
    failed = timed(request, error=Failure("a", "stream", "POST ...: cut"))
    with pytest.raises(MeasurementError, match="calibration: POST"):
        error_of([(failed, request)])
    with pytest.raises(MeasurementError, match="came back with 2 tokens and the server wrote 3"):
        error_of([(timed(request, tokens=(1, 1)), request)])
    with pytest.raises(MeasurementError, match="the server wrote nothing"):
        instrument_error(LoadRun((timed(request),), HEALTH, 0, 1), {}, concurrency=1)
    with pytest.raises(MeasurementError, match="no request was measured"):
        error_of([])


def test_each_level_is_calibrated_and_told():
    told, found = [], []
    levels = {"c01": LoadShape(1, 3, 16, 8), "c04": LoadShape(4, 100, 1024, 8)}
    calibrate(levels, tell=told.append, take=found.append)
    assert [each.level for each in found] == ["c01", "c04"]
    errors = [each.error for each in found]
    assert [(each.concurrency, each.requests) for each in errors] == [(1, 3), (4, 32)]
    assert len(told) == 2
    assert "concurrency 4" in told[1]
    for each in errors:
        # With fewer than a hundred requests the 99th percentile is the worst one.
        assert each.ttft_p99_ms >= each.ttft_bias_ms
        assert each.tpot_p99_ms >= each.tpot_bias_ms
        assert 0 < each.load_held <= 1


def test_a_slow_instrument_is_found_out(truth):
    """The same client, kept from reading for 60 ms at a time, errs by tens of milliseconds, and it shows."""
    honest, hindered = _run_against(truth, stall_s=0.0), _run_against(truth, stall_s=0.06)
    assert hindered.ttft_bias_ms > honest.ttft_bias_ms + 10
    assert hindered.ttft_p99_ms > 30


def _run_against(truth, *, stall_s):
    body = {
        "stream": True,
        "max_tokens": 3,
        "messages": [],
        "truth": {"first_token_ms": 30, "interval_ms": 1},
    }
    requests = [LoadRequest(f"stall-{stall_s}-{place}", "/v1/chat/completions", body) for place in range(48)]

    async def hinder():
        while True:
            time.sleep(stall_s)  # noqa: ASYNC251  (the fault that is looked for)
            await asyncio.sleep(0.001)

    async def both():
        hindrance = asyncio.ensure_future(hinder()) if stall_s else None
        try:
            job = LoadJob(LoadTarget(truth.endpoint), requests, 8)
            return await run_closed_loop(job, on_end=lambda timing: None)
        finally:
            if hindrance is not None:
                hindrance.cancel()

    return instrument_error(asyncio.run(both()), truth.stamps(), concurrency=8)
