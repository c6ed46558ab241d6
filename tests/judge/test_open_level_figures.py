"""Figures of open levels: from the intended send, certified by what their requests are worth."""

import dataclasses

import numpy as np
import pytest
from made_load import instrument, level, steady, trial
from made_open import OPEN, SLO, arriving, correlated, open_level, spaced

from pytest_gptoss.judge.cross_check import disagreements
from pytest_gptoss.judge.late_client import why_late
from pytest_gptoss.judge.littles_law import contradictions
from pytest_gptoss.judge.load import (
    client_delay,
    end_to_end,
    first_text,
    first_token,
    in_order,
    send_delay,
    since_sent,
)
from pytest_gptoss.judge.metrics.performance import FULL, completed, itl, latency, qps, throughput
from pytest_gptoss.judge.profile_rows import with_levels
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.verdicts import Threshold

WHITE = np.random.default_rng(5).exponential(50, 400).tolist()
SLOW = (200 + 20 * correlated(400, 0.9, 3)).tolist()


def row(figure, limit, statistic="median", comparison="<"):
    return Threshold(
        f"performance.{figure}.r8", "performance", f"{figure}.r8", statistic, comparison, limit, "ms",
        "assurance", "ours",
    )  # fmt: skip


def test_latencies_count_from_the_intended_send():
    made = arriving("a", 100, 150, 160, 190, late=30, text=160, delay=2)
    assert (first_token(made), first_text(made), end_to_end(made)) == (50, 60, 90)
    assert (since_sent(made), send_delay(made), client_delay(made)) == (20, 30, 2)


def test_a_closed_level_has_no_send_delay():
    closed = steady(5, ttft=80, tpot=10)
    assert send_delay(closed[0]) is None
    assert since_sent(closed[0]) == first_token(closed[0])
    with pytest.raises(ConditionAbsent, match="a closed loop sends when an answer has ended"):
        latency(figure="send_delay", trial_0=trial(level(*closed)))


def test_the_requests_of_an_open_level_are_taken_in_order_of_arrival():
    first, second = arriving("a", 0, 10), arriving("b", 5, 20)
    assert in_order(open_level(second, first)) == [first, second]
    assert in_order(level(*steady(2, ttft=1, tpot=1)))[0].id == "r0"


@pytest.mark.parametrize("figure", ["ttft", "first_text", "e2e", "send_delay", "tpot", "client_delay"])
def test_every_latency_of_an_open_level_has_a_median(figure):
    found = latency(figure=figure, trial_0=trial(spaced(*WHITE)))
    assert (found.n, found.unit) == (400, "ms")
    assert 1 <= found.details["effective"] <= 400


def test_independent_requests_are_judged_as_those_of_a_closed_level():
    opened, closed = spaced(*WHITE), level(*(arriving(f"r{i}", 0, w, w + 10) for i, w in enumerate(WHITE)))
    for statistic in ("median", "p95", "mean"):
        ours = latency(figure="ttft", statistic=statistic, trial_0=trial(opened))
        theirs = latency(figure="ttft", statistic=statistic, trial_0=trial(closed))
        assert ours.value == pytest.approx(theirs.value)
        assert ours.interval == pytest.approx(theirs.interval)


@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_requests_that_wait_alike_widen_the_interval(statistic):
    ours = latency(figure="ttft", statistic=statistic, trial_0=trial(spaced(*SLOW)))
    theirs = latency(
        figure="ttft", statistic=statistic, trial_0=trial(spaced(*sorted(SLOW, key=lambda w: w * 1e6 % 7)))
    )
    width = np.ptp(ours.interval) / np.ptp(theirs.interval)
    assert 2 < width < 8  # sqrt(19) for a correlation of 0.9


def test_too_few_effective_requests_name_the_time_that_would_do():
    with pytest.raises(InsufficientData) as raised:
        latency(figure="ttft", statistic="p99", trial_0=trial(spaced(*SLOW)))
    said = str(raised.value)
    effective = int(said.split("are worth ")[1].split(maxsplit=1)[0])
    assert said.startswith("400 requests are worth ")
    assert "the 99th percentile needs 299: they came in 39.9 s, measure for" in said
    enough = float(said.split("measure for ")[1].split(maxsplit=1)[0])
    assert 39.9 * 299 / (effective + 1) <= enough <= 39.9 * 299 / effective + 1


@pytest.mark.parametrize(("statistic", "enough"), [("p99", 299), ("p95", 59), ("p90", 29), ("median", 5)])
def test_a_percentile_needs_its_effective_requests(statistic, enough):
    waits = [50 + i * 7919 % 97 for i in range(enough)]
    assert latency(figure="ttft", statistic=statistic, trial_0=trial(spaced(*waits))).n == enough
    with pytest.raises(InsufficientData, match=f"needs {enough}: they came in"):
        latency(figure="ttft", statistic=statistic, trial_0=trial(spaced(*waits[1:])))


def test_a_closed_level_needs_no_effective_requests():
    assert latency(figure="ttft", statistic="p99", trial_0=trial(level(*steady(5, ttft=9, tpot=10)))).n == 5


def test_gaps_are_certified_by_their_requests():
    with pytest.raises(InsufficientData, match="10 requests are worth 10 independent ones"):
        itl(statistic="p95", trial_0=trial(spaced(*range(10))))
    assert itl(statistic="p95", trial_0=trial(spaced(*WHITE))).n == 800


def test_rates_are_of_the_whole_run_alone():
    made = trial(spaced(*[50.0] * 41))
    assert qps(trial_0=made).value == pytest.approx(41 / 4.07)
    assert throughput(trial_0=made).value == pytest.approx(123 / 4.07)
    with pytest.raises(InsufficientData, match="an open loop keeps no number of requests under way"):
        qps(statistic=FULL, trial_0=made)


def test_chat_is_not_blamed_for_lengths_that_a_trace_asked_for():
    ours = arriving("a", 0, 10, 20, asked=(512, 2), prompt_tokens=512, tokens=(1, 1))
    lost = arriving("b", 0, asked=(512, 2), prompt_tokens=512, completion_tokens=2)
    found = completed(trial_0=trial(open_level(ours, lost)))
    assert found.value == 0.5
    assert "--gptoss-bench-endpoint" not in found.details["finding"]


# -- the client was late ------------------------------------------------------------------------


@pytest.mark.parametrize("figure", ["ttft", "first_text", "e2e"])
def test_a_late_client_makes_a_latency_invalid(figure):
    made = spaced(*[50.0] * 20, late=5.01)
    why = why_late(row(figure, 100.0), [made])
    assert why.startswith("the client was late, not the server: the median of its send delay is 5.01 ms, ")
    assert "more than 5% of the limit of 100 ms" in why
    assert why_late(row(figure, 101.0), [made]) is None


def test_the_statistic_of_the_limit_counts():
    late = [arriving(f"r{i}", i * 100, i * 100 + 50, late=20 if i % 10 == 0 else 0) for i in range(100)]
    assert why_late(row("ttft", 100.0, "median"), [open_level(*late)]) is None
    assert "the p99 of its send delay is 20 ms" in why_late(row("ttft", 100.0, "p99"), [open_level(*late)])


@pytest.mark.parametrize("figure", ["tpot", "itl", "client_delay", "send_delay", "qps"])
def test_other_figures_do_not_depend_on_it(figure):
    assert why_late(row(figure, 100.0), [spaced(*[50.0] * 20, late=40)]) is None


def test_a_closed_level_is_never_late():
    assert why_late(row("ttft", 1.0), [level(*steady(5, ttft=80, tpot=10))]) is None


def test_goodput_that_the_client_alone_spoils_is_invalid():
    threshold = row("goodput", 0.95, "share", ">=")
    spoiled = spaced(*[90.0] * 18, 110.0, 110.0, late=15, slo=SLO)
    assert "2 of 20 requests miss the service level only because they were sent late" in why_late(
        threshold, [spoiled]
    )
    assert why_late(threshold, [spaced(*[90.0] * 20, late=15, slo=SLO)]) is None
    assert why_late(threshold, [spaced(*[150.0] * 20, late=15, slo=SLO)]) is None


# -- rows, and what does not look at open levels -------------------------------------------------


def test_an_open_level_gets_a_row_on_its_queue_and_one_on_goodput_where_it_has_a_service_level():
    known = load_profile("atlas-800-a2").thresholds
    plain = with_levels(known, {"r8": OPEN, "r0.5": dataclasses.replace(OPEN, slo=SLO)})
    added = [name for name in plain if name not in known]
    assert added == [
        "performance.completed.r8", "performance.uncached.r8", "stress.audit.r8", "performance.stable.r8",
        "performance.completed.r0.5", "performance.uncached.r0.5", "stress.audit.r0.5",
        "performance.stable.r0.5", "performance.goodput.r0.5",
    ]  # fmt: skip
    goodput = plain["performance.goodput.r0.5"]
    assert (goodput.metric, goodput.comparison, goodput.limit, goodput.tier) == (
        "goodput.r0.5", ">=", 0.95, "assurance",
    )  # fmt: skip
    stable = plain["performance.stable.r8"]
    assert (stable.metric, stable.comparison, stable.limit, stable.tier) == (
        "stable.r8", "<=", 1.0, "assurance",
    )  # fmt: skip


def test_every_figure_of_an_open_level_can_be_limited(tmp_path):
    path = tmp_path / "limits.toml"
    figures = ("ttft", "first_text", "tpot", "itl", "e2e", "client_delay", "send_delay", "throughput", "qps",
               "error_rate", "goodput")  # fmt: skip
    path.write_text("".join(f'[thresholds."performance.{each}.r0.5"]\nlimit = 1\n' for each in figures))
    table = load_profile(
        "atlas-800-a2", overrides=path, levels=lambda known: {**known, "r0.5": OPEN}
    ).thresholds
    for figure in figures:
        assert table[f"performance.{figure}.r0.5"].metric == f"{figure}.r0.5"
    assert (table["performance.goodput.r0.5"].comparison, table["performance.goodput.r0.5"].unit) == (
        ">=",
        "share",
    )


def test_littles_law_holds_no_open_level_against_a_limit():
    table = load_profile("atlas-800-a2")
    rows = [*table.thresholds.values(), row("qps", 1000.0, "whole run", ">"), row("ttft", 1.0)]
    shapes = {**table.workload.levels, "r8": OPEN}
    assert contradictions(rows, shapes) == contradictions(table.thresholds.values(), table.workload.levels)


def test_the_servers_own_ttft_knows_nothing_of_a_late_client():
    server = {"requests": 20.0, "ttft_count": 20.0, "ttft_seconds": 20 * 0.040}
    made = spaced(*[50.0] * 20, late=10)
    made = open_level(*made.requests, server=server)
    assert disagreements(made, instrument(4)) == []
