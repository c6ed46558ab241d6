"""What the evidence says, apart from the guide's limits: from rows to a verdict and a line."""

import pytest

from pytest_gptoss.report.equivalence import ERROR_RATIO, equivalence, equivalence_line
from pytest_gptoss.report.wording import Wording


def row(
    threshold_id, value=0.5, *, verdict="PASS", npu="npu", statistic="mean", ci=None, limit=1.0, **fields
):
    return {
        "threshold_id": threshold_id, "npu": npu, "statistic": statistic, "verdict": verdict, "value": value,
        "limit": limit, "comparison": "<=", "unit": "nat", "ci": ci, "reason": None, "details": {}, **fields,
    }  # fmt: skip


def ratio(value=1.0, ci=(0.9, 1.1), **fields):
    return row(ERROR_RATIO, value, ci=list(ci) if ci else None, limit=1.5, unit="times", **fields)


def forced_beside(value, limit=0.96):
    details = {"beside": {"statistic": "forced", "value": value, "n": 9, "interval": None, "limit": limit}}
    return row(
        "precision.token_match_rate", 0.5, verdict="FAIL", comparison=">=", limit=0.95, details=details,
        statistic="rate",
    )  # fmt: skip


def verdict_of(*rows):
    found = equivalence(rows)
    return found and found["verdict"]


def test_nothing_numeric_says_nothing():
    assert equivalence([]) is None
    assert equivalence([row("performance.ttft.c01")]) is None
    assert equivalence([row("precision.kl", None, verdict="INVALID")]) is None


def test_equivalence_needs_the_whole_interval_of_the_error_ratio():
    assert verdict_of(row("precision.kl"), ratio()) == "EQUIVALENT WITHIN ROUNDING"
    assert verdict_of(row("precision.kl"), ratio(ci=(0.9, 1.6))) == "UNDECIDED"
    assert verdict_of(row("precision.kl"), ratio(ci=None)) == "UNDECIDED"


def test_a_ratio_without_an_interval_is_told_as_that():
    assert equivalence([row("precision.kl"), ratio(ci=None)])["reasons"][0]["code"] == "no_interval"
    assert equivalence([row("precision.kl"), ratio(ci=(0.9, 1.6))])["reasons"][0]["code"] == "unproven"


def test_without_a_reference_it_is_at_best_undecided():
    assert verdict_of(row("precision.kl")) == "UNDECIDED"
    absent = row(ERROR_RATIO, None, verdict="SKIPPED", reason="no CPU reference")
    found = equivalence([row("precision.kl"), absent])
    assert found["verdict"] == "UNDECIDED"
    assert found["reasons"] == [
        {"code": "no_ratio", "npu": "npu", "threshold_id": ERROR_RATIO, "text": "no CPU reference"}
    ]
    unsound = row(ERROR_RATIO, None, verdict="INVALID", reason="cpu failed")
    assert equivalence([row("precision.kl"), unsound])["reasons"][0]["code"] == "invalid_ratio"


def test_a_waived_ratio_is_told_as_that():
    waived = row(ERROR_RATIO, None, verdict="WAIVED", reason="no CPU until Monday")
    found = equivalence([row("precision.kl"), waived])
    assert (found["verdict"], found["reasons"][0]["code"]) == ("UNDECIDED", "waived_ratio")


@pytest.mark.parametrize("verdict", ["INVALID", "WAIVED"])
def test_numeric_rows_that_were_not_judged_are_named(verdict):
    found = equivalence([row("precision.kl", None, verdict=verdict), ratio()])
    assert found["verdict"] == "EQUIVALENT WITHIN ROUNDING"
    assert (found["reasons"][0]["code"], found["reasons"][0]["text"]) == ("within_part", "precision.kl")
    line = equivalence_line({"run": {"equivalence": found}}, Wording("en"))
    assert line.endswith("no numeric row fails; some were not judged (precision.kl).")


def test_a_device_that_could_not_be_measured_is_not_passed_over():
    broken = [row(name, None, verdict="INVALID", npu="tp8") for name in ("precision.kl", ERROR_RATIO)]
    sound = [row("precision.kl", npu="tp1"), ratio(npu="tp1")]
    found = equivalence([*sound, *broken])
    assert found["verdict"] == "UNDECIDED"
    line = equivalence_line({"run": {"equivalence": found}}, Wording("en"))
    assert "tp1: " in line
    assert "tp8: no numeric row was judged" in line


def test_any_failing_numeric_row_is_a_difference():
    assert verdict_of(row("precision.kl", 2.0, verdict="FAIL"), ratio()) == "DIFFERENT"
    assert verdict_of(ratio(2.0, (1.8, 2.2), verdict="FAIL")) == "DIFFERENT"
    assert verdict_of(row("precision.leakage", 2.0, verdict="FAIL"), ratio()) == "EQUIVALENT WITHIN ROUNDING"


def test_of_the_texts_only_the_figure_under_teacher_forcing_counts():
    assert verdict_of(forced_beside(0.987), ratio()) == "EQUIVALENT WITHIN ROUNDING"
    assert verdict_of(forced_beside(0.94), ratio()) == "DIFFERENT"
    assert verdict_of(forced_beside(None), ratio()) == "EQUIVALENT WITHIN ROUNDING"
    gated = row("precision.rouge_l", 0.9, verdict="FAIL", statistic="forced", comparison=">=", limit=0.96)
    assert verdict_of(gated, ratio()) == "DIFFERENT"
    free = row("precision.rouge_l", 0.8, verdict="FAIL", comparison=">=", limit=0.98)
    assert verdict_of(free, ratio()) == "EQUIVALENT WITHIN ROUNDING"


def test_of_several_devices_the_worst_stands_for_the_run():
    rows = [ratio(npu="tp1"), ratio(npu="tp8", value=2.0, ci=(1.9, 2.1), verdict="FAIL")]
    found = equivalence(rows)
    assert found["verdict"] == "DIFFERENT"
    assert [each["npu"] for each in found["rows"]] == ["tp1", "tp8"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [ratio()],
            "The evidence says: EQUIVALENT WITHIN ROUNDING: precision.error_ratio 1 times (limit <= 1.5, 95% "
            "interval 0.9 - 1.1) and no numeric row fails.",
        ),
        (
            [row("precision.kl", 2.0, verdict="FAIL")],
            "The evidence says: DIFFERENT: precision.kl 2 nat (limit <= 1).",
        ),
        (
            [row("precision.kl")],
            "The evidence says: UNDECIDED: no difference found; a CPU reference decides.",
        ),
    ],
)
def test_the_line_names_what_decides(rows, said):
    document = {"run": {"equivalence": equivalence(rows)}}
    assert equivalence_line(document, Wording("en")) == said
    assert "测量证据表明" in equivalence_line(document, Wording("zh"))


def test_an_earlier_document_has_no_line():
    assert equivalence_line({"run": {}}, Wording("en")) is None
    assert equivalence_line({"run": {"equivalence": None}}, Wording("en")) is None
