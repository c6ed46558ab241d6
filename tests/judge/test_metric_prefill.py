"""Decode against prefill: one server must agree with itself, behind the sliding window too."""

import json

import numpy as np
import pytest
from made import answer, failure, measurement, scored

from pytest_gptoss.judge.metrics.prefill import decode_prefill
from pytest_gptoss.model.errors import InsufficientData


def own(sequence_id, gaps, *, prompt_length=120):
    """An answer and its own score, whose log-probabilities differ by ``gaps``."""
    prompt, ids = tuple(range(prompt_length)), tuple(range(1000, 1000 + len(gaps)))
    logprobs = -1.0 - 0.5 ** np.arange(1, len(gaps) + 1)
    generated = answer(sequence_id, ids, prompt=prompt, logprobs=logprobs)
    return generated, scored(
        sequence_id, logprobs + np.array(gaps), first=prompt_length, token_ids=(*prompt, *ids)
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
        (nan, "npu: 20 log-probabilities of a as generated are none, the first is nan"),
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
