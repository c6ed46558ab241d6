"""Agreement under teacher forcing: the second statistic of token match and ROUGE-L."""

import dataclasses

import numpy as np
import pytest
from made import answer, failure, measurement, scored, top

from pytest_gptoss.judge.beside import beside_words
from pytest_gptoss.judge.intervals import wilson
from pytest_gptoss.judge.metrics.rouge import rouge_l
from pytest_gptoss.judge.metrics.tokens import token_match_rate
from pytest_gptoss.judge.verdicts import judge, line
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.verdicts import Threshold

NEAR = {7: -0.6, 8: -0.8}
MATCH = Threshold(
    "precision.token_match_rate", "precision", "token_match_rate", "rate", ">=", 0.95, "share", "contract",
    "the guide", forced_limit=0.96,
)  # fmt: skip


def forced(chosen, *, answers=None):
    """The device's scores of the baseline's answers, with ``chosen`` ids as its most likely ones."""
    items = []
    for name, ids in chosen.items():
        own = (answers or {}).get(name) or tuple(ids)
        tops = [{token: -0.1, token + 100: -3.0} for token in ids]
        items.append(scored(name, [-0.1] * len(ids), tops=tops, token_ids=(90, 91, 92, *own)))
    return measurement("npu", items)


def sides(npu, gpu):
    return {"npu": measurement("npu", npu), "gpu": measurement("gpu", gpu)}


def test_positions_are_pooled_over_all_prompts():
    both = [answer("a", (1, 2, 3)), answer("b", (4,))]
    scores = forced({"a": (1, 9, 3), "b": (4,)}, answers={"a": (1, 2, 3)})
    estimate = token_match_rate(**sides(both, both), forced=scores, statistic="forced")
    assert (estimate.value, estimate.unit, estimate.n) == (3 / 4, "share", 2)
    assert estimate.details["beside"]["statistic"] == "rate"
    assert estimate.details["beside"]["value"] == 1.0
    assert (
        "1 of 4 positions differ under teacher forcing, most in a with 2 of 3" in estimate.details["finding"]
    )


def test_perfect_agreement_has_the_interval_of_its_positions():
    both = [answer("a", (1, 2)), answer("b", (4,))]
    scores = forced({"a": (1, 2), "b": (4,)})
    estimate = token_match_rate(**sides(both, both), forced=scores, statistic="forced")
    assert estimate.interval == wilson(3, 3)


def test_rouge_under_teacher_forcing_compares_ids():
    both = [answer("a", (1, 2, 3, 4), content="x"), answer("b", (5,), content="y")]
    scores = forced({"a": (1, 9, 3, 4), "b": (5,)}, answers={"a": (1, 2, 3, 4)})
    estimate = rouge_l(**sides(both, both), forced=scores, statistic="forced")
    assert estimate.value == pytest.approx((3 / 4 + 1) / 2)
    assert (estimate.unit, estimate.n) == ("F", 2)
    assert estimate.details["beside"]["statistic"] == "mean"


def test_the_other_figure_stands_beside_the_free_one():
    both = [answer("a", (1, 2)), answer("b", (4,))]
    estimate = token_match_rate(**sides(both, both), forced=forced({"a": (1, 2), "b": (4,)}))
    assert (estimate.value, estimate.details["beside"]["value"]) == (1.0, 1.0)
    assert token_match_rate(**sides(both, both)).details.get("beside") is None


def test_what_could_not_be_scored_leaves_the_free_figure_as_it_is():
    both = [answer("a", (1, 2)), answer("b", (4,))]
    broken = measurement("npu", [], failures=(failure("*", message="npu serves no prompt_logprobs"),))
    free = token_match_rate(**sides(both, both), forced=broken)
    assert free.value == 1.0
    assert free.details["beside"] == {
        "statistic": "forced", "value": None, "reason": "npu serves no prompt_logprobs"
    }  # fmt: skip
    assert beside_words(free.details["beside"]) == "forced not known: npu serves no prompt_logprobs"
    with pytest.raises(InsufficientData, match="serves no prompt_logprobs"):
        token_match_rate(**sides(both, both), forced=broken, statistic="forced")


def forked(npu_step, gpu_step):
    """Two of three answers fork at their second token; the lists there are those given."""
    first = {1: -0.1, 2: -3.0}
    same = answer("c", (5, 6))

    def side(token, step):
        told = {"logprobs": np.array([-0.1, step[token]]), "top": top(first, step)}
        return [*(answer(name, (1, token), **told) for name in ("a", "b")), same]

    return sides(side(7, npu_step), side(8, gpu_step))


def verdict_of(measured, chosen, threshold=MATCH):
    scores = forced(chosen, answers={"a": (1, 8), "b": (1, 8), "c": (5, 6)})
    return judge(threshold, "npu", token_match_rate(**measured, forced=scores, statistic=threshold.statistic))


GOOD = {"a": (1, 8), "b": (1, 8), "c": (5, 6)}


def test_a_breach_that_rounding_explains_names_the_option():
    verdict = verdict_of(forked(NEAR, {8: -0.6, 7: -0.8}), GOOD)
    assert verdict.status == "FAIL"
    assert verdict.reason.endswith(
        "every fork is a near tie, and under teacher forcing 1 is within its limit of 0.96 (ours, "
        "provisional): --gptoss-compare forced gates that figure"
    )
    assert "forced 1 (not gated, limit 0.96)" in line(verdict)


def test_a_real_fork_or_a_forced_breach_does_not():
    real = verdict_of(forked({7: -0.1, 8: -4.0}, {8: -0.1, 7: -4.0}), GOOD)
    assert "--gptoss-compare" not in real.reason
    breach = verdict_of(forked(NEAR, {8: -0.6, 7: -0.8}), {**GOOD, "a": (9, 9)})
    assert "--gptoss-compare" not in breach.reason


def test_lists_without_a_most_likely_token_are_refused():
    both = [answer("a", (1, 2)), answer("b", (4,))]
    scores = forced({"a": (1, 2), "b": (4,)})
    scores.items[0].top.ids[1, 0] = -1
    with pytest.raises(InsufficientData, match="npu: a lacks the likeliest tokens"):
        token_match_rate(**sides(both, both), forced=scores, statistic="forced")


def own_tokens_alone(answers):
    """Scores in whose lists only the given token stands, as ``prompt_logprobs=0`` has them."""
    items = [
        scored(name, [-6.5] * len(ids), tops=[{each: -6.5} for each in ids], token_ids=(90, 91, 92, *ids))
        for name, ids in answers.items()
    ]
    return measurement("npu", items)


@pytest.mark.parametrize("metric", [token_match_rate, rouge_l])
def test_lists_of_the_given_token_alone_are_refused(metric):
    both = [answer("a", (1, 2), content="x"), answer("b", (4,), content="y")]
    with pytest.raises(InsufficientData, match="npu: a lacks the likeliest tokens"):
        metric(**sides(both, both), forced=own_tokens_alone({"a": (1, 2), "b": (4,)}), statistic="forced")


def test_filler_in_place_of_log_probabilities_is_refused():
    both = [answer("a", (1, 2)), answer("b", (4,))]
    items = [
        scored(name, [0.0] * len(ids), tops=[{each: 0.0, each + 50: 0.0} for each in ids],
               token_ids=(90, 91, 92, *ids))
        for name, ids in {"a": (1, 2), "b": (4, )}.items()
    ]  # fmt: skip
    with pytest.raises(InsufficientData, match="that is no measurement"):
        token_match_rate(**sides(both, both), forced=measurement("npu", items), statistic="forced")


def test_answers_that_are_all_the_same_prove_nothing_under_teacher_forcing_either():
    both = [answer("a", (1, 2)), answer("b", (1, 2))]
    with pytest.raises(InsufficientData, match="all 2 answers are the same"):
        token_match_rate(**sides(both, both), forced=forced({"a": (1, 2), "b": (1, 2)}), statistic="forced")


def test_scores_of_other_tokens_than_the_baselines_answer_are_refused():
    both = [answer("a", (1, 2)), answer("b", (4,))]
    with pytest.raises(InsufficientData, match="what it scored as b is not gpu's answer"):
        token_match_rate(**sides(both, both), forced=forced({"a": (1, 2), "b": (5,)}), statistic="forced")


def test_answers_that_were_not_scored_are_counted():
    both = [answer("a", (1, 2)), answer("b", (4,))]
    left_out = {"b": "too long"}
    scores = dataclasses.replace(forced({"a": (1, 2)}), left_out=left_out)
    estimate = token_match_rate(**sides(both, both), forced=scores, statistic="forced")
    assert (estimate.n, estimate.details["forced_left_out"]) == (1, left_out)


def test_a_row_without_a_figure_still_tells_the_other_one():
    withheld = [dataclasses.replace(answer(name, (1, 2)), token_ids=None) for name in ("a", "b")]
    theirs = [answer("a", (1, 2)), answer("b", (4, 5))]
    scores = forced({"a": (1, 2), "b": (4, 9)}, answers={"b": (4, 5)})
    with pytest.raises(InsufficientData, match=r"withholds .*; under teacher forcing 0\.75 \(not gated\)"):
        token_match_rate(**sides(withheld, theirs), forced=scores)
    with pytest.raises(InsufficientData, match="; of free answers 1 "):
        token_match_rate(
            **sides(theirs, theirs), forced=own_tokens_alone({"a": (1, 2), "b": (4, 5)}), statistic="forced"
        )
