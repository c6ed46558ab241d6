"""Latency and rates are judged on sound levels alone, and say what spoils the others."""

import pytest
from made import failure
from made_load import PROMPT, failed, level, request, steady, trial

from pytest_gptoss.judge.intervals import student
from pytest_gptoss.judge.metrics.performance import (
    FULL,
    LATENCY_STATISTICS,
    completed,
    error_rate,
    itl,
    latency,
    qps,
    throughput,
    uncached,
)
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData

SOUND = level(*steady(60, ttft=80, tpot=10, tokens=5))


def spread(*ttfts, tokens=3):
    return level(*(request(f"r{i}", 0, wait, wait + 10, wait + 20) for i, wait in enumerate(ttfts)))


def test_median_ttft_with_order_statistic_bounds():
    made = spread(*range(101, 161))
    found = latency(figure="ttft", trial_0=trial(made))
    assert (found.value, found.unit, found.n) == (130.5, "ms", 60)
    assert found.interval == (122, 139)  # ranks 22 and 39 of 60, as in binomial tables


def test_every_statistic_of_a_latency():
    made = spread(*range(1, 101))
    values = {name: latency(figure="ttft", statistic=name, trial_0=trial(made)).value
              for name in LATENCY_STATISTICS}  # fmt: skip
    assert values["median"] == values["p50"] == 50.5
    assert values["p90"] == pytest.approx(90.1)
    assert values["p95"] == pytest.approx(95.05)
    assert values["p99"] == pytest.approx(99.01)
    assert (values["mean"], values["min"], values["max"]) == (50.5, 1, 100)


def test_a_tail_of_few_requests_has_no_interval():
    assert latency(figure="ttft", statistic="p99", trial_0=trial(SOUND)).interval is None
    assert latency(figure="tpot", statistic="max", trial_0=trial(SOUND)).interval is None


def test_a_mean_has_a_bootstrap_interval_around_it():
    found = latency(figure="ttft", statistic="mean", trial_0=trial(spread(*range(50, 90))))
    low, high = found.interval
    assert low < found.value == 69.5 < high


def test_tpot_and_gaps():
    made = level(request("a", 0, 50, 60, 90, tokens=(2, 1, 1)))
    assert latency(figure="tpot", trial_0=trial(made)).value == pytest.approx(40 / 2)
    found = itl(statistic="max", trial_0=trial(made))
    assert (found.value, found.n, found.interval) == (30, 2, None)


def test_rates_of_a_level():
    made = trial(level(*steady(32, ttft=100, tpot=25, concurrency=16), concurrency=16))
    assert throughput(trial_0=made).value == pytest.approx(32 * 5 / 0.4)
    assert qps(trial_0=made).value == pytest.approx(32 / 0.4)
    window = throughput(statistic=FULL, trial_0=made)
    assert window.value == pytest.approx(32 * 5 / 0.4, rel=0.1)
    assert qps(trial_0=made).n == 32


def test_trials_give_their_mean_and_students_interval():
    waits = (80, 90, 100)
    trials = {f"trial_{i}": trial(level(*steady(10, ttft=wait, tpot=5))) for i, wait in enumerate(waits)}
    found = latency(figure="ttft", **trials)
    assert (found.value, found.n) == (90, 3)
    assert found.interval == student(waits)
    assert found.details["trials"] == list(waits)


@pytest.mark.parametrize(
    ("metric", "more"),
    [(latency, {"figure": "ttft"}), (latency, {"figure": "tpot"}), (itl, {}), (throughput, {}), (qps, {})],
)
def test_one_failed_request_takes_the_ground_from_every_figure(metric, more):
    made = trial(level(*steady(9, ttft=80, tpot=10), failed("r9")))
    with pytest.raises(InsufficientData, match="request r9 is incomplete: stream: the stream broke"):
        metric(**more, trial_0=made)


def test_completed_counts_exact_requests_and_names_the_switch():
    short = request("r9", 0, 1, 2, 3, 4)
    found = completed(trial_0=trial(level(*steady(9, ttft=80, tpot=10), short, max_tokens=5)))
    assert (found.value, found.n, found.interval) == (0.9, 10, None)
    finding = found.details["finding"]
    assert "1 of 10 requests incomplete, first r9: 4 output tokens by the server's count, 5 were" in finding
    assert "--gptoss-bench-endpoint completions" in finding
    assert error_rate(trial_0=trial(level(*steady(9, ttft=80, tpot=10), failed("r9")))).value == (
        pytest.approx(0.1)
    )


def test_on_completions_no_other_endpoint_is_advised():
    short = request("r1", 0, 1, 2)
    made = level(request("r0", 0, 1, 2, 3), short, shape={"endpoint": "completions"})
    assert "--gptoss-bench-endpoint" not in completed(trial_0=trial(made)).details["finding"]


def test_prompts_of_another_length_are_incomplete_and_name_the_switch():
    made = level(request("r0", 0, 1, 2, prompt_tokens=PROMPT - 2))
    found = completed(trial_0=trial(made))
    assert found.value == 0
    assert "1022 prompt tokens by the server's count, 1024 were asked for" in found.details["finding"]
    assert "--gptoss-bench-endpoint completions" in found.details["finding"]


@pytest.mark.parametrize(
    ("kind", "message", "helps"),
    [
        ("stream", "POST http://a/b: the stream carries an error (unexpected tokens): see the log", True),
        ("dialect", "POST http://a/b: choices is 5: expected list", True),
        ("stream", "POST http://a/b: the connection was closed in mid-stream, after 4 events", False),
        ("stream", "POST http://a/b: the stream ended without usage", False),
        ("timeout", "POST http://a/b: no first token within 60 s", False),
    ],
)
def test_another_endpoint_is_advised_only_where_the_parser_may_be_at_fault(kind, message, helps):
    made = level(*steady(3, ttft=80, tpot=10), failed("r3", kind, message))
    assert ("--gptoss-bench-endpoint" in completed(trial_0=trial(made)).details["finding"]) is helps


def test_requests_that_were_never_sent_are_missing():
    found = completed(trial_0=trial(level(*steady(3, ttft=80, tpot=10), asked=5)))
    assert (found.value, found.n) == (0.6, 5)
    assert "2 of 5 requests were never sent" in found.details["finding"]


def test_a_level_that_was_given_up_says_how_many_were_not_sent():
    gave_up = level(*steady(3, ttft=80, tpot=10), failed("r3"), failed("r4"), failed("r5"), asked=200)
    found = completed(trial_0=trial(gave_up))
    assert (found.value, found.n) == (3 / 200, 200)
    assert "197 of 200 requests incomplete, first r3: stream: the stream broke" in found.details["finding"]
    assert "194 were not sent after so many failures in a row" in found.details["finding"]


def test_a_level_that_stopped_early_is_not_judged():
    early = trial(SOUND, complete=False)
    for metric in (completed, uncached, throughput):
        with pytest.raises(InsufficientData, match="stopped"):
            metric(trial_0=early)
    refused = trial(SOUND, failures=(failure("*", message="npu is gone"),))
    with pytest.raises(InsufficientData, match="npu is gone"):
        completed(trial_0=refused)


@pytest.mark.parametrize(
    ("server", "frame", "beyond"),
    [
        ({"prefix_cache_hits": 0.0}, 67, 0),
        ({"prefix_cache_hits": 60 * 64.0}, 67, 0),  # the shared frame alone, whole blocks of it
        ({"prefix_cache_hits": 60 * 67.0 + 5}, 67, 5),
        ({"prefix_cache_hits": 960.0}, 0, 960),
        ({"prefix_cache_hits": 0.0, "external_prefix_cache_hits": 128.0}, 0, 128),
    ],
)
def test_cache_hits_beyond_the_frame(server, frame, beyond):
    made = level(*SOUND.requests, server=server, frame_tokens=frame)
    found = uncached(trial_0=trial(made))
    assert (found.value, found.unit, found.n) == (beyond, "tokens", 60)
    assert ("finding" in found.details) == (beyond > 0)


def test_a_single_cached_prompt_does_not_hide_behind_the_frames_of_others():
    cached = request("r9", 0, 1, 2, cached_tokens=1008)
    others = [request(f"r{index}", 0, 1, 2, cached_tokens=0) for index in range(9)]
    made = level(*others, cached, server={"prefix_cache_hits": 1008.0}, frame_tokens=200)
    assert uncached(trial_0=trial(made)).value == 808


@pytest.mark.parametrize(("block", "beyond"), [(128, 13 * 1024), (16, 13 * 1024 - 200 * 64), (None, 0)])
def test_wholly_cached_prompts_do_not_hide_behind_a_frame_that_fills_no_block(block, beyond):
    requests = steady(200, ttft=80, tpot=10)
    made = level(*requests, server={"prefix_cache_hits": 13 * 1024.0}, frame_tokens=67, cache_block=block)
    assert uncached(trial_0=trial(made)).value == beyond


def test_a_single_cached_prompt_shows_all_its_blocks():
    cached = request("r9", 0, 1, 2, cached_tokens=1024)
    others = [request(f"r{index}", 0, 1, 2, cached_tokens=0) for index in range(9)]
    made = level(*others, cached, server={"prefix_cache_hits": 1024.0}, frame_tokens=67, cache_block=16)
    assert uncached(trial_0=trial(made)).value == 1024 - 64


@pytest.mark.parametrize("server", [None, {}, {"requests": 5.0}])
def test_without_counters_uncached_is_no_row_of_this_run(server):
    with pytest.raises(ConditionAbsent, match="/metrics"):
        uncached(trial_0=trial(level(*SOUND.requests, server=server)))


def test_a_server_that_shows_no_text_has_no_first_text():
    with pytest.raises(InsufficientData, match="60 of 60 requests have no first_text"):
        latency(figure="first_text", trial_0=trial(SOUND))
    with_text = level(request("a", 0, 10, 20, text=20))
    assert latency(figure="first_text", trial_0=trial(with_text)).value == 20


def test_a_level_too_short_for_its_window_says_so():
    made = trial(level(*steady(1, ttft=80, tpot=10), concurrency=2))
    with pytest.raises(InsufficientData, match="--gptoss-num-requests"):
        throughput(statistic=FULL, trial_0=made)
