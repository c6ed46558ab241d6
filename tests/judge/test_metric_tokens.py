"""Token match: the literal gate, and the fork that explains each mismatch."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import answer, failure, measurement, top

from pytest_gptoss.judge.intervals import wilson
from pytest_gptoss.judge.metrics.tokens import token_match_rate
from pytest_gptoss.model.errors import InsufficientData


def compare(npu, gpu):
    return token_match_rate(npu=measurement("npu", npu), gpu=measurement("gpu", gpu))


def forked(npu_step, gpu_step, *, npu_token=7, gpu_token=8):
    """The fork of two answers (1, x): at index 1 each side's list is the given one, None for none."""
    sides = []
    for token, step in ((npu_token, npu_step), (gpu_token, gpu_step)):
        if step is None:
            sides.append(answer("p1", (1, token)))
        else:
            chosen = np.array([-0.1, step[token]])
            sides.append(answer("p1", (1, token), logprobs=chosen, top=top({1: -0.1, 2: -3.0}, step)))
    estimate = compare([sides[0]], [sides[1]])
    return estimate.details["prompts"][0]["fork"]


def test_equal_answers():
    both = [answer("p1", (1, 2)), answer("p2", (3,))]
    estimate = compare(both, both)
    assert (estimate.value, estimate.n, estimate.interval) == (1.0, 2, wilson(2, 2))
    assert estimate.details["position_rate"] == 1
    assert [prompt["fork"] for prompt in estimate.details["prompts"]] == [None, None]
    assert "finding" not in estimate.details


def test_rates_and_prefixes_by_hand():
    npu = [answer("p1", (1, 2, 3, 4)), answer("p2", (5, 6, 9, 8)), answer("p3", (1, 2)), answer("p4", (4,))]
    gpu = [
        answer("p1", (1, 2, 3, 4)),
        answer("p2", (5, 6, 7, 8)),
        answer("p3", (1, 2, 3)),
        answer("p4", (4,)),
    ]
    details = compare(npu, gpu).details
    assert details["position_rate"] == pytest.approx((4 + 3 + 2 + 1) / (4 + 4 + 3 + 1))
    assert details["matched_prefix"] == {"min": 1, "median": 2.0, "mean": 2.25}
    assert [prompt["prefix"] for prompt in details["prompts"]] == [4, 2, 2, 1]
    assert details["kinds"] == {"unknown": 1, "length": 1}


@pytest.mark.parametrize("shorter", ["npu", "gpu"])
def test_an_answer_that_begins_the_other_is_no_match(shorter):
    sides = {"npu": (1, 2, 3), "gpu": (1, 2, 3), shorter: (1, 2)}
    estimate = compare([answer("p1", sides["npu"])], [answer("p1", sides["gpu"])])
    fork = estimate.details["prompts"][0]["fork"]
    assert estimate.value == 0
    assert (fork["index"], fork[f"{shorter}_token"], fork["kind"]) == (2, None, "length")


@pytest.mark.parametrize(
    ("npu_step", "gpu_step", "margin", "kind"),
    [
        ({7: -0.70, 8: -0.71}, {8: -0.69, 7: -0.72}, 0.03, "near tie"),
        ({7: -0.1, 8: -2.5}, {8: -0.69, 7: -0.72}, 2.4, "real"),
        ({7: -0.70, 8: -0.71}, {8: -0.01, 7: -5.0}, 4.99, "real"),
        # A token that is not even listed is at least as unlikely as the last one that is.
        ({7: -0.1, 5: -4.0}, {8: -0.69, 7: -0.72}, 3.9, "real"),
        ({7: -0.70, 5: -0.71}, {8: -0.69, 7: -0.72}, 0.03, "unknown"),
        (None, {8: -0.69, 7: -0.72}, 0.03, "unknown"),
        (None, {8: -0.01, 7: -5.0}, 4.99, "real"),
        (None, None, None, "unknown"),
    ],
)
def test_a_fork_is_told_apart_by_both_margins(npu_step, gpu_step, margin, kind):
    fork = forked(npu_step, gpu_step)
    assert fork["kind"] == kind
    assert fork["margin"] == (None if margin is None else pytest.approx(margin, abs=1e-5))
    assert (fork["index"], fork["npu_token"], fork["gpu_token"]) == (1, 7, 8)


def test_a_fork_holds_both_tokens_on_both_sides():
    fork = forked({7: -0.5, 8: -1.0}, {8: -0.25, 3: -2.0})
    assert fork["logprobs"] == {
        "npu": {"npu_token": -0.5, "gpu_token": -1.0},
        "gpu": {"npu_token": None, "gpu_token": -0.25},
    }


def test_the_finding_names_the_first_real_fork():
    near, real = ({7: -0.7, 8: -0.71}, {8: -0.69, 7: -0.7}), ({7: -0.1, 8: -9.0}, {8: -0.1, 7: -9.0})
    sides = {"npu": [], "gpu": []}
    for prompt_id, steps in (("a", near), ("b", real)):
        for side, token, step in zip(("npu", "gpu"), (7, 8), steps, strict=True):
            sides[side].append(
                answer(
                    prompt_id,
                    (token, ord(prompt_id)),
                    logprobs=np.array([step[token], 0.0]),
                    top=top(step, {1: 0.0}),
                )
            )
    finding = compare(**sides).details["finding"]
    assert finding == "2 of 2 answers fork (1 near tie, 1 real); b at token 0: real, margin 8.90 nat"


@pytest.mark.parametrize(
    ("npu", "gpu", "says"),
    [
        ([answer("p1", None)], [answer("p1")], "^npu withholds the token ids .*p1.*return_token_ids"),
        ([answer("p1")], [answer("p1", None)], "^gpu withholds"),
        ([answer("p1", ())], [answer("p1", ())], "gpu: every one of 1 answers is empty"),
        ([answer("p1"), answer("p2")], [answer("p1"), answer("p2")], "gpu: all 2 answers are the same"),
        ([answer("p1")], [answer("p2")], "not among those of"),
    ],
)
def test_nothing_is_concluded_from_nothing(npu, gpu, says):
    with pytest.raises(InsufficientData, match=says):
        compare(npu, gpu)


def test_a_failed_prompt_is_no_mismatch():
    npu = measurement("npu", [answer("p1")], failures=(failure("p2"),))
    with pytest.raises(InsufficientData, match="npu: 1 of 2 prompts failed"):
        token_match_rate(npu=npu, gpu=measurement("gpu", [answer("p1"), answer("p2", (9,))]))


def test_an_npu_that_always_says_the_same_is_measured():
    """Only a baseline that cannot tell devices apart is refused; a stuck NPU is a finding."""
    estimate = compare([answer("p1", (5, 5)), answer("p2", (5, 5))], [answer("p1", (1,)), answer("p2", (2,))])
    assert estimate.value == 0


ANSWER = st.lists(st.integers(0, 3), max_size=6).map(tuple)


@settings(max_examples=30)
@given(st.lists(st.tuples(ANSWER, ANSWER), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_bounds_symmetry_and_order(pairs, random):
    def measured(pairs, npu, gpu):
        left = [answer(f"p{index}", pair[npu]) for index, pair in pairs]
        right = [answer(f"p{index}", pair[gpu]) for index, pair in pairs]
        random.shuffle(left)
        try:
            return compare(left, right)
        except InsufficientData:
            return None

    numbered = list(enumerate(pairs))
    one, other = measured(numbered, 0, 1), measured(numbered, 1, 0)
    if one is None:
        return
    assert 0 <= one.details["position_rate"] <= 1
    assert one.value == sum(left == right for left, right in pairs) / len(pairs)
    json.dumps(one.details, allow_nan=False)
    reordered = measured(numbered[::-1], 0, 1)
    assert (reordered.value, reordered.interval) == (one.value, one.interval)
    if other is not None:
        assert (other.value, other.interval) == (one.value, one.interval)
        assert other.details["position_rate"] == one.details["position_rate"]
