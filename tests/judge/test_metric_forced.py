"""Teacher-forced metrics: agreement, divergence, decode against prefill; by hand and by property."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from made import answer, failure, measurement, scored, top

from pytest_gptoss.errors import InsufficientData
from pytest_gptoss.judge.metrics.forced import (
    baseline_kl,
    decode_prefill,
    divergence,
    forced_agreement,
    kl,
)

CLEAR, CLOSE = {1: -0.1, 2: -3.0}, {1: -0.75, 2: -1.0}
OTHER = {2: -0.1, 1: -3.0}


def scores(sequence_id, *tops):
    return scored(sequence_id, [-1.0] * len(tops), tops=list(tops))


def agreement(npu, gpu):
    return forced_agreement(npu=measurement("npu", npu), gpu=measurement("gpu", gpu))


def mean_kl(npu, gpu):
    return kl(npu=measurement("npu", npu), gpu=measurement("gpu", gpu))


def one_kl(reference, tested):
    (value,) = divergence(top(reference), top(tested))
    return value


def logs(probabilities):
    return {token: math.log(p) for token, p in probabilities.items()}


# -- agreement --------------------------------------------------------------------------------


def test_only_clear_positions_are_gated():
    estimate = agreement(
        [scores("a", OTHER, OTHER, CLEAR), scores("b", CLEAR, CLEAR)],
        [scores("a", CLEAR, CLOSE, CLEAR), scores("b", CLEAR, CLEAR)],
    )
    assert (estimate.value, estimate.n) == (3 / 4, 2)
    details = estimate.details
    assert (details["clear_positions"], details["positions"]) == (4, 5)
    assert details["disagreements"] == [
        {
            "sequence_id": "a",
            "position": 3,
            "npu_token": 2,
            "gpu_token": 1,
            "margin": pytest.approx(2.9),
        }
    ]
    assert details["finding"] == "1 of 4 clear positions disagree, first a at position 3, margin 2.90 nat"
    json.dumps(details, allow_nan=False)


def test_a_margin_of_half_a_nat_is_not_clear():
    at_edge = {1: -0.5, 2: -1.0}
    with pytest.raises(InsufficientData, match=r"gpu: at none of its 1 positions .* more than 0.5 nat"):
        agreement([scores("a", at_edge)], [scores("a", at_edge)])


def test_tables_hold_every_position_once():
    gpu = [scores("a", *[CLEAR] * 20), scores("b", CLOSE, CLEAR)]
    npu = [scores("a", *[CLEAR] * 19, OTHER), scores("b", OTHER, CLEAR)]
    details = agreement(npu, gpu).details
    assert details["by_position"] == [
        {"from": 0, "to": 16, "positions": 18, "agreement": pytest.approx(17 / 18)},
        {"from": 16, "to": 32, "positions": 4, "agreement": 0.75},
    ]
    assert details["by_margin"] == [
        {"from": 0.1, "to": 0.5, "positions": 1, "agreement": 0.0},
        {"from": 2.0, "to": 4.0, "positions": 21, "agreement": pytest.approx(20 / 21)},
    ]


def test_sequences_without_clear_positions_are_no_units():
    gpu = [scores("a", CLEAR), scores("b", CLOSE), scores("c", CLEAR)]
    estimate = agreement([scores("a", OTHER), *gpu[1:]], gpu)
    assert (estimate.value, estimate.n) == (0.5, 2)
    assert estimate.interval == (0.0, 1.0)


@pytest.mark.parametrize("metric", [forced_agreement, kl])
@pytest.mark.parametrize("side", ["npu", "gpu"])
def test_lists_that_are_too_short_name_the_way_out(metric, side):
    sides = {"npu": [scores("a", CLEAR)], "gpu": [scores("a", CLEAR)], side: [scores("a", {1: -0.1})]}
    with pytest.raises(InsufficientData, match=f"{side}: a lacks the likeliest tokens .*--max-logprobs 20"):
        metric(**{name: measurement(name, items) for name, items in sides.items()})


def test_lists_with_nan_are_refused():
    broken = scores("a", {1: math.nan, 2: -3.0})
    with pytest.raises(InsufficientData, match="npu: a lists log-probabilities that are not finite"):
        mean_kl([broken], [scores("a", CLEAR)])


# -- divergence -------------------------------------------------------------------------------


def test_divergence_by_hand():
    value = one_kl(logs({1: 0.6, 2: 0.3}), logs({1: 0.3, 2: 0.6}))
    assert value == pytest.approx(0.6 * math.log(2) - 0.3 * math.log(2), abs=1e-6)


def test_what_both_lists_leave_over_is_one_bucket():
    value = one_kl(logs({1: 0.5, 2: 0.3}), logs({1: 0.5, 2: 0.4}))
    assert value == pytest.approx(0.3 * math.log(0.3 / 0.4) + 0.2 * math.log(0.2 / 0.1), abs=1e-6)


def test_a_token_the_other_lacks_gets_the_most_its_list_allows():
    # Token 2 is not listed by the tested device: at most 0.1 (its last), although 0.5 is left over.
    value = one_kl(logs({1: 0.5, 2: 0.3}), logs({1: 0.4, 9: 0.1}))
    rest = 1 - 0.4 - 0.1
    assert value == pytest.approx(
        0.5 * math.log(0.5 / 0.4) + 0.3 * math.log(0.3 / 0.1) + 0.2 * math.log(0.2 / rest), abs=1e-6
    )


def test_no_more_is_given_to_missing_tokens_than_is_left_over():
    # Tokens 2 and 3 share 0.04 as 3 to 1 although the tested list would allow 0.16 each; the rest has
    # 0.16 already, more than its part.
    value = one_kl(logs({1: 0.5, 2: 0.3, 3: 0.1}), logs({1: 0.8, 9: 0.16}))
    expected = 0.5 * math.log(0.5 / 0.8) + 0.4 * math.log(0.4 / 0.04) + 0.1 * math.log(0.1 / 0.16)
    assert value == pytest.approx(expected, abs=1e-6)


def test_a_likely_token_the_other_does_not_list_costs_many_nats():
    value = one_kl(logs({1: 0.99, 2: 0.005}), logs({7: 0.98, 8: 1e-6}))
    assert value > 10


def test_a_scored_token_behind_the_first_twenty_is_no_bound():
    """vLLM adds the scored token to the list; its tiny probability says nothing of the others."""
    listed = {token: math.log(0.04) for token in range(100, 120)}
    reference = top({**listed, 1: math.log(0.05)}, width=21)
    tested = top({**listed, 500: -60.0}, width=21)
    (value,) = divergence(reference, tested)
    assert value < 0.1


PROBABILITIES = st.dictionaries(st.integers(0, 30), st.floats(1e-6, 1), min_size=2, max_size=20).map(
    lambda found: logs({token: p / (sum(found.values()) * 1.01) for token, p in found.items()})
)


@given(PROBABILITIES, PROBABILITIES)
def test_divergence_is_never_negative_nor_infinite(reference, tested):
    assert 0 <= one_kl(reference, tested) < 800


@given(PROBABILITIES)
def test_equal_lists_have_no_divergence(listed):
    assert one_kl(listed, listed) == pytest.approx(0, abs=1e-12)


@given(
    st.lists(st.floats(0.001, 1), min_size=4, max_size=8),
    st.lists(st.floats(0.001, 1), min_size=8, max_size=8),
)
def test_lists_of_the_same_tokens_give_the_divergence_of_the_buckets(p, q):
    p, q = np.array([*p, 1.0]), np.array([*q[: len(p)], 1.0])
    p, q = p / p.sum(), q / q.sum()
    expected = float((p * np.log(p / q)).sum())
    measured = one_kl(
        {token: math.log(value) for token, value in enumerate(p[:-1])},
        {token: math.log(value) for token, value in enumerate(q[:-1])},
    )
    assert measured == pytest.approx(expected, abs=1e-5)


@given(PROBABILITIES, PROBABILITIES)
def test_the_true_divergence_is_not_overstated(reference, full):
    """Cutting the tested list short must never make the device look worse than its whole list does."""
    cut = dict(sorted(full.items(), key=lambda pair: -pair[1])[: max(2, len(full) // 2)])
    assume(
        min(cut.values()) > max((value for token, value in full.items() if token not in cut), default=-1e9)
    )
    assert one_kl(reference, cut) <= one_kl(reference, full) + 1e-6


def test_mean_kl_weighs_positions_and_names_the_worst_sequence():
    gpu = [scores("a", CLEAR, CLEAR, CLEAR), scores("b", CLEAR)]
    npu = [gpu[0], scores("b", OTHER)]
    estimate = mean_kl(npu, gpu)
    worst = one_kl(CLEAR, OTHER)
    assert estimate.value == pytest.approx(worst / 4)
    assert (estimate.unit, estimate.n) == ("nat", 2)
    assert estimate.details["worst"] == {"sequence_id": "b", "mean": pytest.approx(worst)}
    assert sum(row["positions"] for row in estimate.details["by_position"]) == 4
    assert mean_kl(npu[::-1], gpu[::-1]).value == pytest.approx(estimate.value)
    json.dumps(estimate.details, allow_nan=False)


def test_the_reference_comes_first():
    sure, unsure = {1: -0.01, 2: -9.0}, {1: -0.7, 2: -0.8}
    forward = mean_kl([scores("a", unsure)], [scores("a", sure)])
    assert forward.value == pytest.approx(one_kl(sure, unsure))
    assert forward.value != pytest.approx(one_kl(unsure, sure), rel=0.1)


def test_the_baseline_is_judged_on_what_the_cpu_scored():
    gpu = measurement("gpu", [scores("a", CLEAR), scores("b", OTHER)])
    cpu = measurement("cpu", [scores("a", CLEAR)])
    estimate = baseline_kl(gpu=gpu, cpu=cpu)
    assert (estimate.value, estimate.n) == (pytest.approx(0, abs=1e-12), 1)


# -- decode against prefill -------------------------------------------------------------------


def own(sequence_id, gaps, *, prompt_length=120):
    """An answer and its own score, whose log-probabilities differ by ``gaps``."""
    prompt, ids = tuple(range(prompt_length)), tuple(range(1000, 1000 + len(gaps)))
    generated = answer(sequence_id, ids, prompt=prompt, logprobs=np.full(len(gaps), -1.0))
    return generated, scored(
        sequence_id, -1.0 + np.array(gaps), first=prompt_length, token_ids=(*prompt, *ids)
    )


def compare_own(*pairs, **fields):
    return decode_prefill(
        generated=measurement("npu", [generated for generated, _ in pairs]),
        forced=measurement("npu", [forced for _, forced in pairs], **fields),
    )


def test_the_worst_prompt_is_gated_whatever_the_sign():
    estimate = compare_own(own("a", [0.0] * 20), own("b", [0.1, -0.1] * 6))
    assert estimate.value == pytest.approx(0.1)
    assert (estimate.n, estimate.interval, estimate.unit) == (2, None, "nat")
    assert estimate.details["worst"] == "b"
    assert estimate.details["prompts"]["a"] == {"mean": 0.0, "tokens": 20}
    json.dumps(estimate.details, allow_nan=False)


def test_positions_behind_the_window_are_told_apart():
    estimate = compare_own(own("a", [0.0] * 8 + [0.5] * 8, prompt_length=120))
    assert estimate.details["within"] == {"positions": 8, "mean": 0.0, "max": 0.0, "worst": "a"}
    assert estimate.details["past"]["mean"] == pytest.approx(0.5)
    assert estimate.details["past"]["positions"] == 8


def test_all_positions_may_lie_behind_the_window():
    assert compare_own(own("a", [0.0], prompt_length=128)).details["within"] is None


def test_answers_left_out_of_scoring_are_no_gap():
    pair, (too_long, _) = own("a", [0.0] * 20), own("b", [0.0] * 20)
    estimate = decode_prefill(
        generated=measurement("npu", [pair[0], too_long]),
        forced=measurement("npu", [pair[1]], left_out={"b": "too long"}),
    )
    assert (estimate.n, estimate.details["left_out"]) == (1, {"b": "too long"})


def test_no_answer_behind_the_window_proves_nothing():
    with pytest.raises(InsufficientData, match="npu: none of 1 answers reaches past 128 tokens"):
        compare_own(own("a", [0.0] * 7, prompt_length=121))


def test_what_does_not_belong_together_is_refused():
    generated, forced = own("a", [0.0] * 20)
    other = answer("a", tuple(range(20)), logprobs=generated.logprobs)
    silent = answer("a", generated.token_ids)
    nan = answer("a", generated.token_ids, logprobs=np.full(20, np.nan))
    for broken, says in (
        (other, "a was scored on other tokens than it generated"),
        (silent, "npu tells no log-probability .*--max-logprobs"),
        (nan, "log-probabilities of a are not finite"),
        (answer("a", None), "withholds the token ids"),
    ):
        with pytest.raises(InsufficientData, match=says):
            compare_own((broken, forced))


def test_an_answer_that_was_not_scored_is_missed():
    pair, (lost, _) = own("a", [0.0] * 20), own("b", [0.0] * 20)
    with pytest.raises(InsufficientData, match="1 answers were not scored again, first b"):
        decode_prefill(generated=measurement("npu", [pair[0], lost]), forced=measurement("npu", [pair[1]]))


def test_a_failed_scoring_is_blamed():
    with pytest.raises(InsufficientData, match="npu: 1 of 2 answers failed; first b: status"):
        compare_own(own("a", [0.0] * 20), failures=(failure("b", "status", "HTTP 500"),))
