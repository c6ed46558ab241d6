"""TTFT and TPOT are judged where every generated token is known to have come in some event."""

import pytest
from made_load import level, request, trial

from pytest_gptoss.judge.accounting import tokens_per_event, why_first_is_late, why_unaccounted
from pytest_gptoss.judge.metrics.performance import completed, itl, latency, qps, throughput
from pytest_gptoss.model.errors import InsufficientData


def made(*tokens, counted_by, total=None, count=3):
    """A level of equal requests whose events carry so many tokens, 20 ms apart."""
    stamps = [80 + 20 * step for step in range(len(tokens))]
    total = sum(tokens) if total is None else total
    fields = {"tokens": tokens, "counted_by": counted_by, "completion_tokens": total}
    return level(*(request(f"r{place}", 0, *stamps, **fields) for place in range(count)), max_tokens=total)


@pytest.mark.parametrize("figure", ["ttft", "tpot"])
@pytest.mark.parametrize(
    ("tokens", "total"),
    [((1,) * 4, 4), ((1,) * 4, 11)],  # as many events as tokens, and fewer: what each carries is unknown
)
def test_without_ids_or_running_usage_there_is_no_ttft_and_no_tpot(figure, tokens, total):
    told = trial(made(*tokens, counted_by=None, total=total))
    with pytest.raises(InsufficientData) as caught:
        latency(figure=figure, trial_0=told)
    said = str(caught.value)
    assert f"not accounted for in 3 of 3 requests: r0 has 4 events with tokens, and {total} tokens" in said
    assert "return_token_ids" in said
    assert "continuous_usage_stats" in said


def test_one_request_is_enough_to_leave_a_level_unknown():
    sound, odd = made(1, 1, 1, counted_by="ids"), made(1, 1, 1, counted_by=None, count=1)
    both = level(*sound.requests, *odd.requests, max_tokens=3)
    assert "in 1 of 4 requests" in why_unaccounted(both)


def test_counts_that_fall_short_of_the_total_do_not_account_for_it():
    assert why_unaccounted(made(1, 1, 1, counted_by="ids", total=4)) is not None


def test_what_needs_no_single_token_is_judged_all_the_same():
    told = trial(made(1, 1, 1, counted_by=None, total=11))
    assert completed(trial_0=told).value == 1
    assert throughput(trial_0=told).value > 0
    assert qps(trial_0=told).value > 0
    assert itl(trial_0=told).value == 20
    assert latency(figure="e2e", trial_0=told).value == 120


@pytest.mark.parametrize("counted_by", ["ids", "usage"])
def test_tpot_counts_the_tokens_after_the_first_event(counted_by):
    told = trial(made(1, 8, 8, counted_by=counted_by))
    assert latency(figure="tpot", trial_0=told).value == pytest.approx(40 / 16)
    assert latency(figure="ttft", trial_0=told).value == 80


def test_itl_with_several_tokens_an_event_is_said_to_be_per_event():
    found = itl(trial_0=trial(made(1, 8, 8, 7, counted_by="ids")))
    assert found.value == 20
    assert "per event, which carries 6.0 tokens on average" in found.details["finding"]
    assert itl(trial_0=trial(made(1, 1, 1, counted_by="ids"))).details == {}


def test_tokens_per_event_are_known_where_all_are_accounted_for():
    assert tokens_per_event(made(1, 8, 8, 7, counted_by="ids").requests) == 6
    assert tokens_per_event(made(1, 1, 1, counted_by=None).requests) is None
    assert tokens_per_event([]) is None


def test_first_events_that_a_gateway_dropped_show_in_running_usage():
    told = trial(made(120, *(1,) * 8, counted_by="usage"))
    with pytest.raises(InsufficientData, match=r"first one that came of r0, usage counts 120 tokens, with"):
        latency(figure="ttft", trial_0=told)
    assert latency(figure="tpot", trial_0=told).value == 20


@pytest.mark.parametrize(
    "tokens",
    [
        (4, 1, 1, 1),  # harmony's header and a word
        (8, 8, 8, 8),  # a stream interval
        (1, 64, 64, 3),  # vLLM's stream interval
        (9, 5, 5, 5),  # speculative decoding
        (1, 1, 1, 1),
    ],
)
def test_servers_that_send_several_tokens_an_event_drop_nothing(tokens):
    assert why_first_is_late(made(*tokens, counted_by="usage")) is None
    assert why_first_is_late(made(*tokens, counted_by="ids")) is None


def test_over_half_of_the_requests_must_lack_their_first_events():
    late, sound = made(120, 1, counted_by="usage", count=2), made(1, 120, counted_by="usage", count=2)
    assert why_first_is_late(level(*late.requests, *sound.requests)) is None
