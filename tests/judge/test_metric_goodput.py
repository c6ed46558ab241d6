"""Goodput: the share of all requests asked for that keep the service level."""

import dataclasses

import pytest
from made_load import failed, level, request, trial
from made_open import SLO, arriving, open_level, spaced

from pytest_gptoss.judge.intervals import wilson
from pytest_gptoss.judge.metrics.goodput import goodput
from pytest_gptoss.model.arrivals import Slo
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData


def test_a_request_keeps_both_limits_or_none():
    good = arriving("a", 0, 100, 120, 140)
    too_late = arriving("b", 100, 201, 210, 220)
    too_slow = arriving("c", 200, 210, 231, 252)
    found = goodput(trial_0=trial(open_level(good, too_late, too_slow, slo=SLO)))
    assert (found.value, found.unit, found.n) == (pytest.approx(1 / 3), "share", 3)
    assert found.details["within"] == 1


def test_ttft_counts_from_the_intended_send():
    sent_late = arriving("a", 0, 150, 160, 170, late=60)
    assert goodput(trial_0=trial(open_level(sent_late, slo=SLO))).value == 0


@pytest.mark.parametrize("slo", [Slo(ttft_ms=100.0), Slo(tpot_ms=20.0)])
def test_a_limit_that_is_not_set_is_kept(slo):
    made = open_level(arriving("a", 0, 101, 110), arriving("b", 0, 50, 71), slo=slo)
    assert goodput(trial_0=trial(made)).value == 0.5


def test_failed_incomplete_and_unsent_requests_do_not_keep_it():
    broken = dataclasses.replace(failed("b"), intended_ns=0)
    short = arriving("c", 0, 10, 20)
    made = open_level(arriving("a", 0, 10, 20, 30), broken, short, asked=5, slo=SLO)
    assert goodput(trial_0=trial(made)).value == 0.2


def test_a_single_token_has_no_tpot_to_break():
    made = open_level(arriving("a", 0, 10), slo=SLO)
    assert goodput(trial_0=trial(made)).value == 1


def test_requests_of_a_trace_are_held_against_their_own_lengths():
    made = open_level(
        arriving("a", 0, 10, 20, 30, asked=(1024, 3)), arriving("b", 0, 10, asked=(1024, 1)), slo=SLO
    )
    assert goodput(trial_0=trial(made)).value == 1


def test_a_closed_level_has_goodput_too():
    requests = [request(f"r{i}", 0, 50 if i < 30 else 150, 160, 170) for i in range(40)]
    found = goodput(trial_0=trial(level(*requests, shape={"slo": Slo(ttft_ms=100.0)})))
    assert found.value == 0.75
    assert found.interval == wilson(30, 40)


def test_requests_that_wait_behind_each_other_tell_less():
    together = spaced(*[50.0] * 100, *[150.0] * 100, slo=SLO)
    apart = spaced(*[50.0, 150.0, 150.0, 50.0] * 50, slo=SLO)
    (low, high), (near, far) = (goodput(trial_0=trial(each)).interval for each in (together, apart))
    assert low < near < 0.5 < far < high
    assert (near, far) == wilson(100, 200)


def test_trials_are_counted_together():
    bad, good = spaced(150.0, 150.0, slo=SLO), spaced(50.0, 50.0, slo=SLO)
    found = goodput(trial_0=trial(bad), trial_1=trial(good))
    assert (found.value, found.n) == (0.5, 4)


@pytest.mark.parametrize("slo", [None, Slo(share=0.9)])
def test_without_a_service_level_there_is_none(slo):
    with pytest.raises(ConditionAbsent, match="--gptoss-slo-ttft MS, --gptoss-slo-tpot MS"):
        goodput(trial_0=trial(spaced(50.0, slo=slo)))


def test_stamps_that_tell_no_latency_tell_no_goodput():
    unaccounted = dataclasses.replace(arriving("a", 0, 10, 20, 30), counted_by=None)
    with pytest.raises(InsufficientData, match="generated tokens are not accounted for"):
        goodput(trial_0=trial(open_level(unaccounted, slo=SLO)))
