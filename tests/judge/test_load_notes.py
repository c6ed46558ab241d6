"""What stands beside the load figures: contradictory limits, a coarse instrument, the server's own count."""

import dataclasses

import pytest
from made_load import PROMPT, instrument, level, request, steady

from pytest_gptoss.judge.cross_check import disagreements, server_ttft_ms
from pytest_gptoss.judge.instrument import why_overloaded, why_too_coarse
from pytest_gptoss.judge.littles_law import contradictions
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.results import LoopHealth

ATLAS = load_profile("atlas-800-a2")
SHAPES = ATLAS.workload.levels
TTFT, TPOT = ATLAS.thresholds["performance.ttft.c01"], ATLAS.thresholds["performance.tpot.c01"]


def test_the_guides_limits_contradict_each_other():
    (line,) = contradictions(ATLAS.thresholds.values(), SHAPES)
    # 16 requests of 512 tokens at 5 a second last 3.2 s; less 0.1 s, over 511 tokens.
    assert "c16" in line
    assert f"at most {(3200 - 100) / 511:.1f} ms" in line
    assert "a TPOT at its limit of 20 ms would give 794 tok/s and 1.55 req/s" in line


def test_limits_that_agree_are_not_mentioned():
    rows = dict(ATLAS.thresholds)
    rows["performance.tpot.c01"] = dataclasses.replace(TPOT, limit=6.0)
    assert contradictions(rows.values(), SHAPES) == []
    assert contradictions([TTFT], SHAPES) == []
    assert contradictions(ATLAS.thresholds.values(), {"c01": SHAPES["c01"]}) == []


def test_a_levels_own_tpot_limit_goes_before_that_of_the_lowest():
    rows = dict(ATLAS.thresholds)
    own = dataclasses.replace(TPOT, id="performance.tpot.c16", limit=5.0)
    assert contradictions([*rows.values(), own], SHAPES) == []


@pytest.mark.parametrize(
    ("threshold", "clock", "statistic", "errors", "coarse"),
    [
        (TTFT, "ttft", "median", {"ttft_bias_ms": 5.0}, False),
        (TTFT, "ttft", "median", {"ttft_bias_ms": 5.01}, True),
        (TTFT, "ttft", "median", {"ttft_bias_ms": -5.01}, True),
        (TTFT, "ttft", "median", {"ttft_p99_ms": 50.0}, False),
        (TTFT, "ttft", "p99", {"ttft_p99_ms": 5.01}, True),
        (TTFT, "ttft", "max", {"ttft_p99_ms": 5.01}, True),
        (TPOT, "tpot", "median", {"ttft_bias_ms": 50.0}, False),
        (TPOT, "tpot", "median", {"tpot_bias_ms": 1.01}, True),
        (TPOT, "tpot", "mean", {"tpot_bias_ms": 0.99}, False),
    ],
)
def test_an_instrument_is_too_coarse_beyond_a_twentieth_of_the_limit(
    threshold, clock, statistic, errors, coarse
):
    row = dataclasses.replace(threshold, statistic=statistic)
    why = why_too_coarse(row, clock, instrument(16, **errors))
    assert (why is not None) == coarse
    if why is not None:
        assert "at concurrency 16" in why
        assert "5% of the limit" in why


@pytest.mark.parametrize(
    ("lag_ms", "held", "says"),
    [
        (4.9, 0.99, None),
        (
            5.1,
            0.99,
            "the client was late by 5.1 ms (p99) during the level: throughput and QPS may be its own",
        ),
        (1.0, 0.981, "the client held 98.1% of the load when it was calibrated: throughput"),
        (9.0, 0.5, "the client held 50.0% of the load when it was calibrated and was late by 9 ms (p99)"),
    ],
)
def test_a_client_that_did_not_keep_up_is_said(lag_ms, held, says):
    error = dataclasses.replace(instrument(16), load_held=held)
    said = why_overloaded(LoopHealth(0.1, lag_ms, 50.0, 0.5), error, ttft_limit_ms=100)
    assert said is None if says is None else said.startswith(says)


def test_a_client_that_nothing_is_known_of_is_not_accused():
    assert why_overloaded(None, None, ttft_limit_ms=100) is None
    assert why_overloaded(LoopHealth(0.1, 90.0, 90.0, 0.5), None, ttft_limit_ms=None) is None


def told(**server):
    return level(
        *steady(4, ttft=100, tpot=10),
        rtt_ms=(0.5,),
        server={"requests": 4.0, "prompt_tokens": 4.0 * PROMPT, "generation_tokens": 20.0, **server},
    )


def test_a_server_that_agrees_needs_no_note():
    assert disagreements(told(), instrument()) == []
    assert disagreements(told(ttft_seconds=0.3995, ttft_count=4.0), instrument()) == []
    assert disagreements(level(*steady(4, ttft=100, tpot=10)), instrument()) == []


def test_a_wait_between_socket_and_engine_is_said():
    late = told(ttft_seconds=0.36, ttft_count=4.0)
    assert server_ttft_ms(late) == pytest.approx(90)
    (line,) = disagreements(late, instrument())
    assert "mean TTFT 100.0 ms, by the server's own count 90.0 ms" in line
    assert "between its socket and its engine" in line


def test_a_server_that_waits_longer_than_we_see_is_said():
    (line,) = disagreements(told(ttft_seconds=0.44, ttft_count=4.0), None)
    assert "not calibrated" in line
    assert "its clock starts before ours" in line


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ({"requests": 7.0}, "counted 7 requests over the level, 4 were seen"),
        ({"prompt_tokens": 5.0 * PROMPT}, "counted 5120 prompt tokens over the level, 4096 were seen"),
        ({"generation_tokens": 25.0}, "counted 25 output tokens over the level, 20 were seen"),
    ],
)
def test_other_traffic_is_said_and_its_ttft_is_not_compared(server, says):
    lines = disagreements(told(**server, ttft_seconds=9.0, ttft_count=7.0), instrument())
    assert [says in line for line in lines] == [True]


@pytest.mark.parametrize(("seconds", "count"), [(1e300, 1e-300), (1e307, 1.0), (1.0, 0.0)])
def test_a_mean_that_no_float_holds_is_not_told(seconds, count):
    assert server_ttft_ms(told(ttft_seconds=seconds, ttft_count=count)) is None


def test_a_count_of_many_digits_is_bounded_in_width():
    (line,) = disagreements(told(requests=1.5e60), None)
    assert "the server counted 1.5e+60 requests over the level" in line
    (line,) = disagreements(told(ttft_seconds=1e60, ttft_count=4.0), None)
    assert "by the server's own count 2.5e+62 ms" in line


def test_a_server_without_a_histogram_tells_no_ttft():
    assert server_ttft_ms(told()) is None
    assert server_ttft_ms(level(request("a", 0, 1, 2))) is None
