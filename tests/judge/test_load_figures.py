"""What a level's stamps mean: each figure as design and paper say, counted from the right moment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_load import PROMPT, failed, level, request, steady

from pytest_gptoss.judge.load import (
    client_delay,
    distribution,
    end_to_end,
    first_text,
    first_token,
    full_window,
    gaps,
    per_token,
    percentile_bounds,
    whole_run,
    why_incomplete,
)


def test_figures_of_one_request():
    # Four tokens: one alone, two together, one; the first text comes with the second event.
    made = request("a", 10, 110, 130, 170, tokens=(1, 2, 1), text=130, delay=3)
    assert first_token(made) == pytest.approx(100)
    assert first_text(made) == pytest.approx(120)
    assert per_token(made) == pytest.approx((170 - 110) / 3)
    assert gaps(made) == pytest.approx([20, 40])
    assert end_to_end(made) == pytest.approx(160)
    assert client_delay(made) == pytest.approx(3)


def test_tokens_of_the_first_event_are_no_time_per_token():
    made = request("a", 0, 50, 70, 90, tokens=(4, 2, 2))
    assert per_token(made) == pytest.approx(40 / 4)


def test_what_a_request_lacks_is_none():
    silent = failed("a")
    assert [figure(silent) for figure in (first_token, first_text, per_token, end_to_end)] == [None] * 4
    assert gaps(silent) == []
    one_token = request("b", 0, 20)
    assert per_token(one_token) is None
    assert first_text(one_token) is None
    all_at_once = request("c", 0, 20, tokens=(5,))
    assert per_token(all_at_once) is None


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, None),
        ({"completion_tokens": 2}, "2 output tokens by the server's count, 3 were asked for"),
        ({"completion_tokens": 4}, "4 output tokens"),
        ({"prompt_tokens": PROMPT + 1}, "1025 prompt tokens by the server's count, 1024 were asked for"),
        ({"completion_tokens": None}, "no count of output tokens"),
        ({"prompt_tokens": None}, "no count of prompt tokens"),
    ],
)
def test_a_request_counts_only_with_the_exact_counts(changed, says):
    shape = level(request("a", 0, 1, 2, 3)).shape
    why = why_incomplete(request("a", 0, 1, 2, 3, **changed), shape)
    assert why is None if says is None else says in why


def test_a_failed_request_says_how():
    assert why_incomplete(failed("a"), level(request("b", 0, 1)).shape) == "stream: the stream broke"


def test_rates_over_the_whole_run():
    made = level(*steady(4, ttft=100, tpot=25, tokens=5), concurrency=1)
    span = whole_run(made)
    assert span.seconds == pytest.approx(0.8)
    assert span.throughput == pytest.approx(20 / 0.8)
    assert span.qps == pytest.approx(4 / 0.8)


def test_the_full_window_leaves_out_the_beginning_and_the_tail():
    # Two at once; the third starts when the first ends; the window is from the second's start (10)
    # to the first end (120) after the last start (100).
    made = level(
        request("a", 0, 50, 100),
        request("b", 10, 60, 120),
        request("c", 100, 150, 240),
        concurrency=2,
    )
    span = full_window(made)
    assert span.seconds == pytest.approx(0.110)
    assert span.tokens == 4
    assert span.requests == 2
    assert whole_run(made).seconds == pytest.approx(0.240)


@pytest.mark.parametrize("rounds", [2, 12])
def test_the_full_window_of_a_level_in_lockstep_loses_no_request(rounds):
    """All 16 end within 15 ms of one another, every 3 s: 5.33 a second, however few the rounds are."""
    tokens, lasting = 60, 3000
    requests = []
    for index in range(16 * rounds):
        sent = index // 16 * lasting + index % 16
        stamps = [sent + lasting * (step + 1) / tokens for step in range(tokens)]
        requests.append(request(f"r{index}", sent, *stamps))
    span = full_window(level(*requests, concurrency=16))
    assert span.qps == pytest.approx(16 / 3, rel=0.01)
    assert span.throughput == pytest.approx(tokens * span.qps)


def test_the_full_window_counts_tokens_that_no_ids_tell():
    # Four tokens an event and no ids: each event says 1, usage says 8.
    pairs = [request(str(place), place * 100, place * 100 + 50, place * 100 + 100, completion_tokens=8)
             for place in range(5)]  # fmt: skip
    span = full_window(level(*pairs))
    assert (span.tokens, span.requests) == (40, 5)
    assert span.throughput == pytest.approx(whole_run(level(*pairs)).throughput)


def test_a_window_that_was_never_full_is_none():
    assert full_window(level(request("a", 0, 1, 2), concurrency=2)) is None
    assert full_window(level(concurrency=2, asked=2)) is None
    assert whole_run(level(asked=1)) is None


@given(
    st.integers(1, 6).flatmap(
        lambda concurrency: st.tuples(
            st.just(concurrency),
            st.integers(1, 5).map(lambda rounds: rounds * concurrency),
            st.floats(1, 500),
            st.floats(0.5, 50),
        )
    )
)
def test_little_holds_for_a_steady_level(drawn):
    concurrency, count, ttft, tpot = drawn
    made = level(*steady(count, ttft=ttft, tpot=tpot, concurrency=concurrency), concurrency=concurrency)
    span = whole_run(made)
    waits = [end_to_end(each) for each in made.requests]
    assert span.qps * sum(waits) / len(waits) / 1000 == pytest.approx(concurrency, rel=1e-3)
    assert span.throughput == pytest.approx(5 * span.qps)


def test_a_distribution_is_bounded_and_complete():
    values = [float(each) for each in range(1, 201)]
    found = distribution(values)
    assert (found["n"], found["mean"], found["min"], found["max"]) == (200, 100.5, 1, 200)
    assert found["p50"] == 100.5
    assert found["bounds"]["p50"] == [86, 115]
    assert found["bounds"]["p99"][1] is None
    assert len(found["curve"]) == 51
    assert found["curve"] == sorted(found["curve"])
    assert distribution(values, independent=False)["bounds"] == {}
    assert distribution([]) is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.sampled_from([50, 90, 95, 99]))
def test_percentile_bounds_enclose_their_percentile(values, percent):
    low, high = percentile_bounds(values, percent)
    found = distribution(values)[f"p{percent}"]
    slack = 1e-9 * max(1.0, abs(found))
    assert low is None or low <= found + slack
    assert high is None or high >= found - slack
