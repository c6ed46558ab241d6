"""Nothing is judged on less than it says."""

import numpy as np
import pytest
from made import answer, failure, hidden, measurement, scored

from pytest_gptoss.judge.evidence import (
    cut_to,
    first_difference,
    pair,
    refuse_other_tokens,
    refuse_sameness,
    scored_pairs,
    sound_items,
)
from pytest_gptoss.model.errors import InsufficientData

ANSWERS = [answer("p1"), answer("p2")]


def test_whole_measurements_give_their_items():
    assert sound_items(measurement("npu", ANSWERS), "prompts") == tuple(ANSWERS)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (
            measurement("npu", ANSWERS, failures=(failure(),)),
            "npu: 1 of 3 prompts failed; first p9: timeout: no",
        ),
        (
            measurement("npu", ANSWERS, failures=(failure(),), complete=False),
            "1 of 3 prompts failed, then measuring stopped",
        ),
        (measurement("npu", ANSWERS, complete=False), "npu: measuring stopped after 2 prompts"),
        (measurement("npu", []), "npu: no prompts to judge$"),
        (measurement("npu", [], left_out={"p1": "too long"}), "all 1 were left out, first p1: too long"),
        (
            measurement("npu", [], failures=(failure("*", "unsupported", "serve /pooling"),), complete=False),
            "^serve /pooling$",
        ),
    ],
)
def test_what_is_missing_is_said(broken, says):
    with pytest.raises(InsufficientData, match=says):
        sound_items(broken, "prompts")


def test_pairs_are_matched_by_id_not_by_place():
    pairs = pair(measurement("npu", ANSWERS[::-1]), measurement("gpu", ANSWERS), "prompts")
    assert [(left.prompt_id, right.prompt_id) for left, right in pairs] == [("p1", "p1"), ("p2", "p2")]


@pytest.mark.parametrize(
    ("npu", "gpu", "says"),
    [
        (ANSWERS, ANSWERS[:1], "1 prompts of npu are not among those of gpu; first p2"),
        (ANSWERS[:1], ANSWERS, "1 prompts of gpu are not among those of npu; first p2"),
        ([*ANSWERS, ANSWERS[0]], ANSWERS, "npu: p1 stands twice"),
    ],
)
def test_other_ids_are_refused(npu, gpu, says):
    with pytest.raises(InsufficientData, match=says):
        pair(measurement("npu", npu), measurement("gpu", gpu), "prompts")


def test_a_missing_item_is_explained_by_why_it_was_left_out():
    gpu = measurement("gpu", ANSWERS[:1], left_out={"p2": "3000 tokens do not fit"})
    with pytest.raises(InsufficientData, match="first p2: 3000 tokens do not fit"):
        pair(measurement("npu", ANSWERS), gpu, "prompts")


def test_the_smaller_measurement_chooses_what_is_compared():
    gpu = measurement("gpu", [scored("a", [-1.0]), scored("b", [-2.0])])
    cpu = measurement("cpu", [scored("b", [-2.0])])
    assert [theirs.sequence_id for _, theirs in scored_pairs(cut_to(gpu, cpu), cpu)] == ["b"]


def test_a_dead_cpu_is_blamed_rather_than_the_gpu_cut_to_nothing():
    gpu = measurement("gpu", [scored("a", [-1.0])])
    cpu = measurement("cpu", [], failures=(failure("a", "connect", "nobody answers"),))
    with pytest.raises(InsufficientData, match=r"^cpu: 1 of 1 sequences failed; first a: connect"):
        scored_pairs(cut_to(gpu, cpu), cpu)


@pytest.mark.parametrize(
    ("npu", "gpu", "says"),
    [
        (
            scored("a", [-1.0], token_ids=(1, 2, 3, 9)),
            scored("a", [-1.0]),
            "different tokens, first at position 0",
        ),
        (
            scored("a", [-1.0, -1.0], first=2),
            scored("a", [-1.0], first=3),
            "npu scored from position 2, gpu from 3",
        ),
        (
            scored("a", [np.nan]),
            scored("a", [-1.0]),
            "npu: 1 log-probabilities of a are none, the first is nan at position 3",
        ),
        (scored("a", [-1.0]), scored("a", [-np.inf]), "gpu: 1 log-probabilities of a are none"),
        (
            scored("a", [-1.0], token_ids=(0, 1, 2, 3, 4)),
            scored("a", [-1.0], token_ids=(0, 1, 2, 3, 4)),
            "1 scores for positions 3 to 4",
        ),
        (scored("a", [-1.0], first=0), scored("a", [-1.0], first=0), "for positions 0 to 0"),
    ],
)
def test_scores_of_other_tokens_or_none_are_refused(npu, gpu, says):
    with pytest.raises(InsufficientData, match=says):
        scored_pairs(measurement("npu", [npu]), measurement("gpu", [gpu]))


def test_hidden_states_of_other_tokens_are_refused():
    pairs = [(hidden("a", np.ones((2, 4))), hidden("a", np.ones((2, 4)), token_ids=(0, 7)))]
    with pytest.raises(
        InsufficientData, match="a: npu and gpu were given different tokens, first at position 1"
    ):
        refuse_other_tokens(pairs, "npu", "gpu")


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"p1": (), "p2": ()}, "every one of 2 answers is empty"),
        ({"p1": ""}, "every one of 1 answers is empty"),
        ({"p1": (5,), "p2": (5,), "p3": (5,)}, "all 3 answers are the same"),
    ],
)
def test_answers_that_prove_nothing_are_refused(answers, says):
    with pytest.raises(InsufficientData, match=says):
        refuse_sameness(answers, "gpu")


@pytest.mark.parametrize("answers", [{"p1": (5,)}, {"p1": (5,), "p2": (6,)}, {"p1": (), "p2": (5,)}])
def test_answers_that_can_differ_are_accepted(answers):
    refuse_sameness(answers, "gpu")


@pytest.mark.parametrize(
    ("left", "right", "at"), [((1, 2), (1, 3), 1), ((1, 2), (1, 2, 3), 2), ((), (1,), 0), ((1,), (1,), 1)]
)
def test_first_difference(left, right, at):
    assert first_difference(left, right) == at
