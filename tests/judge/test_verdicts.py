"""Verdicts follow the point estimate, admit doubt, and read in one line."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.judge.figures import holds, number
from pytest_gptoss.judge.verdicts import invalid, judge, line, skipped, waived
from pytest_gptoss.model.subjects import Capabilities, Device
from pytest_gptoss.model.verdicts import Estimate, Threshold


def threshold(comparison=">=", limit=0.95, unit="share", **fields):
    row = {
        "id": "precision.token_match_rate",
        "family": "precision",
        "metric": "token_match_rate",
        "statistic": "rate",
        "comparison": comparison,
        "limit": limit,
        "unit": unit,
        "tier": "contract",
        "source": "the guide",
    }
    return Threshold(**{**row, **fields})


def device(name, label=""):
    return Device(name, name, None, label, "gpt-oss-20b", None, None, Capabilities())


@pytest.mark.parametrize(
    ("comparison", "below", "at", "above"),
    [(">=", False, True, True), ("<=", True, True, False), (">", False, False, True),
     ("<", True, False, False), ("=", False, True, False)],
)  # fmt: skip
def test_comparisons_at_the_limit(comparison, below, at, above):
    values = (math.nextafter(0.95, 0), 0.95, math.nextafter(0.95, 1))
    assert tuple(holds(value, comparison, 0.95) for value in values) == (below, at, above)
    statuses = tuple(
        judge(threshold(comparison), "npu", Estimate(value, "share", 60)).status for value in values
    )
    assert statuses == tuple("PASS" if expected else "FAIL" for expected in (below, at, above))


@pytest.mark.parametrize(
    ("comparison", "interval", "proven"),
    [
        (">=", (0.95, 0.99), True), (">=", (0.94, 0.99), False), (">=", None, None),
        ("<=", (0.90, 0.95), True), ("<=", (0.90, 0.96), False),
        ("<", (0.90, 0.95), False), ("=", (0.95, 0.95), True), ("=", (0.94, 0.96), False),
    ],
)  # fmt: skip
def test_proven_means_the_whole_interval(comparison, interval, proven):
    value = 0.95 if comparison in (">=", "<=", "=") else 0.92
    verdict = judge(threshold(comparison), "npu", Estimate(value, "share", 60, interval))
    assert (verdict.status, verdict.proven) == ("PASS", proven)


def test_a_failure_is_never_proven_and_says_why():
    estimate = Estimate(0.9, "share", 60, (0.8, 0.97), {"finding": "6 of 60 answers fork"})
    verdict = judge(threshold(), "npu", estimate)
    assert (verdict.status, verdict.proven, verdict.reason) == ("FAIL", False, "6 of 60 answers fork")
    assert verdict.details == estimate.details


def test_figures_become_builtin_numbers():
    verdict = judge(
        threshold(),
        "npu",
        Estimate(np.float64(0.96), "share", np.int64(60), (np.float32(0.9), np.float64(1))),
    )
    assert [type(figure) for figure in (verdict.value, verdict.n, *verdict.interval)] == [
        float,
        int,
        float,
        float,
    ]


@pytest.mark.parametrize(
    ("estimate", "says"),
    [
        (Estimate(math.nan, "share", 60), "gave nan"),
        (Estimate(math.inf, "share", 60), "no finite figure"),
        (Estimate(0.96, "share", 60, (0.9, math.nan)), "no finite figure"),
        (Estimate(0.96, "share", 0), r"gave 0.96 from nothing \(n = 0\)"),
        (Estimate(96.0, "%", 60), "is in '%', its limit in 'share'"),
    ],
)
def test_an_estimate_that_is_none_is_invalid(estimate, says):
    verdict = judge(threshold(), "npu", estimate)
    assert (verdict.status, verdict.value, verdict.n, verdict.interval) == ("INVALID", None, None, None)
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(verdict.reason)


@pytest.mark.parametrize(("make", "status"), [(invalid, "INVALID"), (waived, "WAIVED"), (skipped, "SKIPPED")])
def test_what_was_not_judged_has_no_figures(make, status):
    verdict = make(threshold(), "npu", "because")
    assert (verdict.status, verdict.reason, verdict.value, verdict.proven) == (status, "because", None, None)
    assert line(verdict) == f"{status} npu-precision.token_match_rate: because; required >= 0.95"


def test_a_line_holds_value_comparison_limit_n_interval_and_devices():
    verdict = judge(threshold(), "npu", Estimate(58 / 60, "share", 60, (0.8864, 0.9908)))
    devices = {"npu": device("npu", "Atlas 800 A2, TP8"), "gpu": device("gpu", "gpu")}
    assert line(verdict, devices) == (
        "PASS npu-precision.token_match_rate: 0.9667, required >= 0.95; n 60; 95% 0.8864 to 0.9908; "
        "not proven at 95%; npu (Atlas 800 A2, TP8) against gpu"
    )


def test_a_proven_pass_admits_no_doubt():
    verdict = judge(threshold(), "npu", Estimate(1.0, "share", 100, (0.963, 1.0)))
    assert line(verdict) == "PASS npu-precision.token_match_rate: 1, required >= 0.95; n 100; 95% 0.963 to 1"


def test_a_failing_line_ends_with_the_finding():
    verdict = judge(
        threshold(), "tp8", Estimate(0.9, "share", 60, (0.8, 0.95), {"finding": "6 of 60 answers fork"})
    )
    assert line(verdict) == (
        "FAIL tp8-precision.token_match_rate: 0.9, required >= 0.95; n 60; 95% 0.8 to 0.95; "
        "6 of 60 answers fork"
    )


def test_our_limits_changed_limits_and_units_are_shown():
    ours = threshold(
        "<=", 1.5, "% of PPL(GPU)", source="ours", changed_from=1.0, id="precision.perplexity_diff"
    )
    assert line(judge(ours, "npu", Estimate(0.3, "% of PPL(GPU)", 60))) == (
        "PASS npu-precision.perplexity_diff: 0.3, required <= 1.5 % of PPL(GPU) "
        "(our limit, changed from 1); n 60"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.0, "1"), (0.96666, "0.9667"), (20480.0, "20480"), (1234567.8, "1.235e+06"),
     (1e-9, "1e-09"), (3.2e300, "3.2e+300"), (-0.5, "-0.5")],
)  # fmt: skip
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_a_value_just_beyond_the_limit_does_not_read_as_the_limit():
    assert number(0.949999, apart_from=0.95) == "0.949999"
    assert number(0.95, apart_from=0.95) == "0.95"


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_different_numbers_read_differently(value, limit):
    if value != limit:
        assert number(value, apart_from=limit) != number(limit)


@pytest.mark.parametrize(
    ("limit", "least", "needed", "status"),
    [(0.05, 0.08124, 0.0813, "PASS"), (0.05, 0.0625, 0.0625, "FAIL"), (0.05, 0.01, 0.05, "FAIL"),
     (3.0, 9.996, 10.0, "PASS"), (0.05, None, 0.05, "FAIL"), (0.0, 0.07, 0.07, "PASS")],
)  # fmt: skip
def test_a_limit_that_chance_explains_is_raised(limit, least, needed, status):
    row = threshold("<=", limit, "share")
    found = judge(row, "n1", Estimate(0.07, "share", 9, significant_from=least))
    assert (found.threshold.limit, found.status) == (needed, status)
