"""Unequal inputs are found and explained. The ids are those real servers send (o200k_harmony)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import answer, measurement

from pytest_gptoss.judge.metrics.inputs import identical
from pytest_gptoss.model.errors import InsufficientData

START, END, MESSAGE = 200006, 200007, 200008
SYSTEM, DEVELOPER, USER, ASSISTANT = 17360, 77944, 1428, 173781
BEFORE_DATE = (START, SYSTEM, MESSAGE, 3575, 553, 87447, 100594, 25, 220, 1323, 19, 12, 3218, 198)
DATE = (6576, 3521, 25, 220, 1323, 21, 12, 2290, 12, 2290, 279)  # "Current date: 2026-01-01", blank line
OTHER_DATE = (6576, 3521, 25, 220, 1323, 21, 12, 2290, 12, 2922, 279)
EFFORT = (30377, 289, 25, 14093)
LOW_EFFORT = (30377, 289, 25, 4465)
CHANNELS = (2, 13888, 18403, 25, END)
QUESTION = (START, USER, MESSAGE, 4827, 382, 220, 17, END, START, ASSISTANT)
INSTRUCTIONS = (68406, 279, 17045, 51088, END)

PLAIN = (*BEFORE_DATE, *DATE, *EFFORT, *CHANNELS, *QUESTION)


def share(npu, gpu):
    return identical(
        npu=measurement("npu", [answer("p1", prompt=npu), answer("p2")]),
        gpu=measurement("gpu", [answer("p1", prompt=gpu), answer("p2")]),
    )


def test_equal_inputs_are_a_share_of_one_without_findings():
    estimate = share(PLAIN, PLAIN)
    assert (estimate.value, estimate.n, estimate.interval) == (1.0, 2, None)
    assert estimate.details == {"differences": []}


@pytest.mark.parametrize(
    ("npu", "gpu", "position", "cause"),
    [
        ((*BEFORE_DATE, *OTHER_DATE, *EFFORT, *CHANNELS, *QUESTION), PLAIN, 23, "VLLM_SYSTEM_START_DATE"),
        ((*BEFORE_DATE[:-1], 279, *EFFORT, *CHANNELS, *QUESTION), PLAIN, 13, "VLLM_SYSTEM_START_DATE"),
        ((*BEFORE_DATE, *DATE, *LOW_EFFORT, *CHANNELS, *QUESTION), PLAIN, 28, "system message differs"),
        (
            (*BEFORE_DATE, *DATE, *EFFORT, *CHANNELS, START, SYSTEM, MESSAGE, *INSTRUCTIONS, *QUESTION),
            (*BEFORE_DATE, *DATE, *EFFORT, *CHANNELS, START, DEVELOPER, MESSAGE, 2, *INSTRUCTIONS, *QUESTION),
            35,
            "two vLLM generations",
        ),
        (
            (*BEFORE_DATE, *DATE, *EFFORT, *CHANNELS, START, DEVELOPER, MESSAGE, *INSTRUCTIONS, *QUESTION),
            (*BEFORE_DATE, *DATE, *EFFORT, *CHANNELS, START, DEVELOPER, MESSAGE, 2, *INSTRUCTIONS, *QUESTION),
            37,
            "two vLLM generations",
        ),
        (PLAIN[:-4], PLAIN, len(PLAIN) - 4, "truncates prompts"),
        ((*PLAIN[:-5], 99, *PLAIN[-4:]), PLAIN, len(PLAIN) - 5, "tokenised differently"),
    ],
)
def test_the_first_difference_is_explained(npu, gpu, position, cause):
    estimate = share(npu, gpu)
    (difference,) = estimate.details["differences"]
    assert (estimate.value, difference["prompt_id"], difference["position"]) == (0.5, "p1", position)
    assert cause in difference["cause"]
    assert estimate.details["finding"].startswith(f"1 of 2 prompts differ, first p1 at position {position}: ")
    assert cause in estimate.details["finding"]


def test_the_tokens_of_both_sides_stand_in_the_details():
    (difference,) = share(PLAIN[:-4], PLAIN).details["differences"]
    assert (difference["npu_token"], difference["gpu_token"]) == (None, PLAIN[-4])


@pytest.mark.parametrize("side", ["npu", "gpu"])
@pytest.mark.parametrize("withheld", [None, ()])
def test_withheld_prompt_ids_name_the_way_out(side, withheld):
    with pytest.raises(InsufficientData, match=rf"^{side} withholds prompt_token_ids .*token-ids"):
        share(**{"npu": PLAIN, "gpu": PLAIN, side: withheld})


IDS = st.lists(st.sampled_from([START, END, MESSAGE, SYSTEM, DEVELOPER, USER, 6576, 3521, 25, 1]), min_size=1)


@given(IDS, IDS)
def test_any_two_prompts_are_compared_and_explained(npu, gpu):
    estimate = share(tuple(npu), tuple(gpu))
    assert estimate.value == (1.0 if npu == gpu else 0.5)
    assert bool(estimate.details["differences"]) == (npu != gpu)
    json.dumps(estimate.details, allow_nan=False)
