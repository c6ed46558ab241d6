"""Recovered states that must not be trusted: each kind of trouble says its own words, a sound one none."""

import numpy as np
import pytest
from logits import answer, bfloat16, made

from pytest_gptoss.judge.hidden_checks import why_unsound
from pytest_gptoss.scenarios.hidden_recovery import recover

VOCABULARY, HIDDEN, COUNT = 3000, 128, 400
OTHER_HEAD = "off what lm_head.weight makes of any hidden state"
ONE_OFF = "one log-probability of"
SCALED = "are scaled by a temperature or processed, or model.norm.weight is another one"


@pytest.fixture(scope="module")
def position():
    return made(7, VOCABULARY, HIDDEN, spread=4.0)


def reason(position, head=None, norm=None, **answered):
    """The doubt about what is recovered with ``head`` from a server's answer."""
    ids, logprobs = answer(position, COUNT, **answered)
    rows = (position.head if head is None else head)[ids]
    return why_unsound(recover(rows, logprobs, position.norm if norm is None else norm).fit)


def in_bits(head, bits):
    """The weights of each row rounded to so many bits, as quantised layers are."""
    step = np.abs(head).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
    return (np.round(head / step) * step).astype(np.float32)


def test_a_sound_answer_raises_no_doubt(position):
    assert reason(position) is None


@pytest.mark.parametrize("rounded", [lambda logits: logits, lambda logits: logits.astype(np.float16)])
def test_finer_logits_raise_no_doubt(position, rounded):
    assert reason(position, rounded=rounded) is None


@pytest.mark.parametrize("seed", range(20))
def test_no_sound_position_raises_doubts(seed):
    assert reason(made(seed, 1000, 64), norm=None) is None


def test_another_head(position):
    assert OTHER_HEAD in reason(position, head=made(8, VOCABULARY, HIDDEN, spread=4.0).head)


def test_shuffled_rows(position):
    shuffled = position.head[np.random.default_rng(0).permutation(VOCABULARY)]
    assert OTHER_HEAD in reason(position, head=shuffled)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantised_head(position, bits):
    assert OTHER_HEAD in reason(position, head=in_bits(position.head, bits))


@pytest.mark.parametrize("place", [0, 200])
def test_a_logit_bias_on_one_token(position, place):
    said = reason(position, bias={place: 0.5})
    assert ONE_OFF in said
    assert "logit bias" in said


def test_a_logit_bias_on_many_tokens(position):
    assert OTHER_HEAD in reason(position, bias=dict.fromkeys(range(0, 300, 3), 2.0))


@pytest.mark.parametrize("temperature", [0.5, 0.9, 1.1, 2.0])
def test_a_temperature_leaves_a_perfect_fit_and_shows_in_the_scale(position, temperature):
    said = reason(position, temperature=temperature)
    assert SCALED in said
    ids, logprobs = answer(position, COUNT, temperature=temperature)
    recovery = recover(position.head[ids], logprobs, position.norm)
    assert recovery.fit.scale == pytest.approx(temperature**-2, rel=0.02)


def test_another_norm(position):
    assert SCALED in reason(position, norm=bfloat16(position.norm[::-1]))


def test_a_norm_weight_of_zero_is_left_out(position):
    norm = position.norm.copy()
    norm[3] = 0
    assert reason(position, norm=norm) is None


def test_a_scale_that_cannot_be_told(position):
    norm = position.norm.copy()
    norm[3] = 1e-4
    assert "so a temperature could not be seen" in reason(position, norm=norm)


def test_rows_that_depend_on_each_other(position):
    flat = position.head.copy()
    flat[:, 0] = flat[:, 1] + flat[:, 0] * np.float32(1e-6)
    assert "depend on each other so much (condition" in reason(position, head=flat)


def test_a_garbage_fit_does_not_pass_for_a_large_logit(position):
    """Rows with a large common part: log Z may be anything, and what rounding explains with it."""
    far = bfloat16(position.head + 30 * made(9, 1, HIDDEN).head[0])
    assert reason(position, head=far[np.random.default_rng(0).permutation(VOCABULARY)]) is not None
