"""Numbers that servers write where they computed no log-probability never make a figure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import answer, measurement, scored, top

from pytest_gptoss.judge.metrics.drift import position_drift
from pytest_gptoss.judge.metrics.forced import forced_agreement, kl
from pytest_gptoss.judge.metrics.perplexity import perplexity_diff
from pytest_gptoss.judge.metrics.prefill import decode_prefill
from pytest_gptoss.judge.metrics.tokens import token_match_rate
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.results import DriftPoint
from pytest_gptoss.model.sentinels import NEVER, contradicted, filler, no_logprobs

LENGTH, TOKENS = 130, 20
IDS = tuple(range(1000, 1000 + TOKENS))
VARIED = -1.0 - 0.1 * np.arange(TOKENS)
NO_LISTS = [{-1: -np.inf}] * TOKENS
SURE = [{token: 0.0, 5: -18.0 - token % 3} for token in IDS]


def decoded_and_scored(logprobs, lists=None):
    """One server's answer and its own score of it, with the same numbers in both."""
    prompt = tuple(range(LENGTH))
    tops = None if lists is None else top(*lists, width=2)
    generated = answer("a", IDS, prompt=prompt, logprobs=np.array(logprobs, dtype=float), top=tops)
    forced = scored("a", logprobs, first=LENGTH, token_ids=(*prompt, *IDS), tops=lists or NO_LISTS)
    return {"generated": measurement("npu", [generated]), "forced": measurement("npu", [forced])}


@pytest.mark.parametrize(
    ("logprobs", "says"),
    [
        ([NEVER] * TOKENS, "20 log-probabilities of a as generated are none, the first is -9999"),
        ([*VARIED[:-1], NEVER], "1 log-probabilities of a as generated are none, .* position 19"),
        ([-3.4028235e38] * TOKENS, "the first is -3.40282e.38 at position 0"),
        ([0.5] * TOKENS, "never above 0"),
        ([0.0] * TOKENS, "npu sent 0 as the log-probability of all 20 tokens of a as generated"),
        ([-100.0] * TOKENS, "npu sent -100 as the log-probability of all 20 tokens"),
    ],
)
def test_equal_sentinels_are_no_agreement_of_decoding_with_prefilling(logprobs, says):
    with pytest.raises(InsufficientData, match=says):
        decode_prefill(**decoded_and_scored(logprobs))


def test_a_log_probability_of_another_token_is_no_agreement_however_near_it_comes():
    own = [{token: float(value), 5: -9.0} for token, value in zip(IDS, VARIED, strict=True)]
    assert decode_prefill(**decoded_and_scored(VARIED, own)).value == 0
    late = [VARIED[0], *VARIED[:-1]]
    with pytest.raises(
        InsufficientData, match="npu contradicts itself in a: token 1 has log-probability -1,"
    ):
        decode_prefill(**decoded_and_scored(late, own))


@given(st.lists(st.floats(-500, 0, width=32), min_size=1, max_size=20))
def test_the_same_number_written_with_five_digits_contradicts_nothing(values):
    own = [{token: value, 5: -600.0} for token, value in zip(IDS, values, strict=False)]
    written = np.array([float(f"{value:.5g}") for value in values])
    lists = top(*own, width=2)
    assert contradicted(IDS[: len(values)], written, lists) is None
    assert contradicted([7] * len(values), written - 1, lists) is None
    assert contradicted(IDS[: len(values)], written - 1, lists) == (0, pytest.approx(values[0]))


def test_scores_are_held_to_the_same_as_answers():
    sound, filled = decoded_and_scored(VARIED), decoded_and_scored([0.0] * TOKENS)
    with pytest.raises(InsufficientData, match="all 20 tokens of a as scored and no alternatives"):
        decode_prefill(generated=sound["generated"], forced=filled["forced"])


@pytest.mark.parametrize("metric", [kl, forced_agreement, perplexity_diff])
@pytest.mark.parametrize("value", [NEVER, 0.0, -100.0])
def test_two_devices_with_the_same_sentinel_do_not_agree(metric, value):
    forbidden = [{1: 0.0, 2: NEVER}] * TOKENS
    rows = forbidden if value == 0.0 else [{1: value, 2: value}] * TOKENS
    scores = {
        device: measurement(device, [scored("a", [value] * TOKENS, tops=rows)]) for device in ("npu", "gpu")
    }
    with pytest.raises(InsufficientData, match="npu"):
        metric(**scores)


def test_a_fork_between_fillers_is_of_no_known_kind():
    npu = answer("a", IDS, logprobs=np.zeros(TOKENS))
    gpu = answer("a", (*IDS[:-1], 7), logprobs=np.zeros(TOKENS))
    other = answer("b", (1,))
    found = token_match_rate(npu=measurement("npu", [npu, other]), gpu=measurement("gpu", [gpu, other]))
    assert found.details["kinds"] == {"unknown": 1}


def test_a_recorded_point_of_drift_that_is_none_is_named():
    def points(device, logprob):
        items = [DriftPoint(spot, spot - 1, 5, "0f", logprob) for spot in (16, 32)]
        return measurement(device, items)

    with pytest.raises(InsufficientData, match="gpu: the log-probability at position 15 is -9999"):
        position_drift(npu_32=points("npu", -1.0), gpu_32=points("gpu", NEVER))


# -- what is measured, however odd it looks -----------------------------------------------------


def test_a_model_that_is_sure_throughout_is_measured_by_its_alternatives():
    assert decode_prefill(**decoded_and_scored([0.0] * TOKENS, SURE)).value == 0.0


def test_a_forbidden_alternative_here_and_there_is_measured():
    lists = [{token: float(value), 5: NEVER} for token, value in zip(IDS, VARIED, strict=True)]
    assert decode_prefill(**decoded_and_scored(VARIED, lists)).value == 0.0


@pytest.mark.parametrize("positions", [1, 2, 7])
def test_a_short_answer_whose_alternatives_are_unknown_may_be_sure(positions):
    assert filler(np.zeros(positions), None) is None


@given(st.lists(st.floats(-745.0, 0.0), min_size=2, max_size=30).filter(lambda row: len(set(row)) > 1))
def test_numbers_that_vary_are_measured(row):
    assert filler(np.array(row), None) is None
    assert not no_logprobs(np.array(row)).any()


@given(st.floats(-9000.0, 0.0), st.integers(8, 40))
def test_one_number_throughout_is_a_filler(value, positions):
    values = np.full(positions, value)
    assert filler(values, None) == value
    alike = top(*[{1: value, 2: value}] * positions)
    assert filler(values, alike) == value
    other = top(*[{1: value, 2: value - 1.0}] * positions)
    assert filler(values, other) is None
