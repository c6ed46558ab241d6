"""States recovered from log-probabilities: exact from exact ones, as exact as told from rounded ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logits import answer, bfloat16, cosine, made

from pytest_gptoss.judge.hidden_checks import why_unsound
from pytest_gptoss.judge.hidden_uncertainty import SERVED, Blur, cosine_error, uncertainty_of_mean
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.lm_head import read_lm_head
from pytest_gptoss.model.resources import fixture
from pytest_gptoss.scenarios.hidden_recovery import logit_steps, recover
from pytest_gptoss.scenarios.normal_equations import factorise, largest_eigenvalue

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(2, 40)
few = settings(max_examples=25, deadline=None)


def found(position, count, **changed):
    ids, logprobs = answer(position, count, **changed)
    return recover(position.head[ids], logprobs, position.norm)


def not_rounded(logits):
    return logits


@few
@given(SEEDS, SIZES)
def test_exact_log_probabilities_give_the_state_back(seed, hidden):
    position = made(seed, 8 * hidden + 20, hidden)
    ids, _ = answer(position, 4 * hidden + 8)
    logits = position.head[ids].astype(np.float64) @ position.state
    recovery = recover(position.head[ids], logits - 12.5, position.norm)
    assert recovery.state == pytest.approx(position.state, rel=1e-5, abs=1e-5)
    assert recovery.log_z == pytest.approx(12.5)
    assert recovery.fit.residual < 1e-9
    assert recovery.fit.n == 4 * hidden + 8


@few
@given(SEEDS, SIZES)
def test_the_order_of_the_tokens_does_not_matter(seed, hidden):
    position = made(seed, 8 * hidden + 20, hidden)
    ids, logprobs = answer(position, 4 * hidden + 8)
    order = np.random.default_rng(seed).permutation(len(ids))
    one = recover(position.head[ids], logprobs, position.norm)
    two = recover(position.head[ids[order]], logprobs[order], position.norm)
    assert two.state == pytest.approx(one.state, rel=1e-4, abs=1e-5)
    assert order[two.worst_place] == one.worst_place
    assert two.fit.residual == pytest.approx(one.fit.residual, rel=1e-4)


@few
@given(SEEDS, SIZES, st.floats(0.25, 4))
def test_scaled_log_probabilities_scale_the_state(seed, hidden, temperature):
    position = made(seed, 8 * hidden + 20, hidden)
    recovery = found(position, 4 * hidden + 8, rounded=not_rounded, temperature=temperature)
    assert recovery.state * temperature == pytest.approx(position.state, rel=1e-3, abs=1e-3)
    assert recovery.fit.scale * temperature**2 == pytest.approx(1, abs=0.02)


@few
@given(SEEDS, SIZES)
def test_tokens_of_equal_rows_count_once(seed, hidden):
    position = made(seed, 8 * hidden + 20, hidden)
    ids, logprobs = answer(position, 4 * hidden + 8)
    again = np.concatenate([ids, ids[:7]])
    doubled = recover(position.head[again], np.concatenate([logprobs, logprobs[:7]]), position.norm)
    once = recover(position.head[ids], logprobs, position.norm)
    assert doubled.fit.n == once.fit.n == len(ids)
    assert (doubled.state == once.state).all()
    assert doubled.fit == once.fit


def test_rounded_logits_and_the_uncertainty_that_is_told():
    """The true error of a cosine with another state is within the uncertainty in about 95 of 100 cases."""
    covered, errors = [], []
    for seed in range(150):
        position = made(seed, 600, 48, spread=4.0)
        recovery = found(position, 160)
        assert why_unsound(recovery.fit) is None
        assert cosine(recovery.state, position.state) > 0.999
        rng = np.random.default_rng(seed + 1000)
        other = position.state + np.linalg.norm(position.state) * rng.normal(0, 0.15, 48) / np.sqrt(48)
        truth, seen = cosine(position.state, other), cosine(recovery.state, other)
        error = cosine_error(seen, Blur.of(recovery.fit), SERVED)
        covered.append(abs(seen - truth) <= uncertainty_of_mean([error]))
        errors.append((error, seen - truth))
    assert 0.92 <= np.mean(covered) <= 1
    told = uncertainty_of_mean([error for error, _ in errors])
    assert abs(np.mean([missed for _, missed in errors])) <= told
    assert told < np.mean([uncertainty_of_mean([error]) for error, _ in errors])


def test_the_uncertainty_of_two_recovered_states_of_the_same_direction():
    """Where c is 1 nothing scatters to first order, and what is told is the cosine's bias."""
    lost, told = [], []
    for seed in range(60):
        position = made(seed, 600, 48, spread=4.0)
        recovery = found(position, 160)
        lost.append(1 - cosine(recovery.state, position.state))
        told.append(cosine_error(1.0, Blur.of(recovery.fit), SERVED).bias)
    assert np.mean(lost) == pytest.approx(np.mean(told), rel=0.15)
    both = cosine_error(1.0, Blur.of(recovery.fit), Blur.of(recovery.fit))
    assert both.bias == pytest.approx(2 * told[-1])


def test_served_states_are_certain():
    assert uncertainty_of_mean([cosine_error(0.9, SERVED, SERVED)]) == 0
    with pytest.raises(ValueError, match="no position"):
        uncertainty_of_mean([])


def test_the_width_of_gpt_oss():
    position = made(0, 12_000, 2880, spread=4.0)
    recovery = found(position, 4096)
    assert why_unsound(recovery.fit) is None
    lost = 1 - cosine(recovery.state, position.state)
    assert lost < 2e-4
    assert recovery.fit.power / 2 == pytest.approx(lost, rel=0.2)
    assert recovery.fit.residual == pytest.approx(recovery.fit.explained, rel=0.05)
    assert recovery.fit.scale == pytest.approx(1, abs=0.005)
    assert 5 < recovery.fit.condition < 20


def test_the_tiny_checkpoint_is_well_enough_conditioned():
    """4,096 of its tokens have at most 3,102 different rows, for a state of 128."""
    head = read_lm_head(fixture("tiny-gpt-oss"))
    rng = np.random.default_rng(3)
    state = bfloat16(rng.standard_normal(128).astype(np.float32) * head.norm)
    state = bfloat16(state / np.sqrt(np.mean((state / head.norm) ** 2)))
    ids = np.arange(head.vocabulary)
    logits = bfloat16(head.rows(ids) @ state)
    top = np.argsort(-logits, kind="stable")[:4096]
    recovery = recover(head.rows(top), logits[top] - 20, head.norm)
    assert recovery.fit.n <= 3102
    assert recovery.fit.condition < 1e4
    assert why_unsound(recovery.fit) is None
    assert cosine(recovery.state, state) > 0.9995


# -- its parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logit", "step"),
    [(1.0, 2**-7), (1.99, 2**-7), (-2.0, 2**-6), (16.0, 0.125), (31.9, 0.125), (32.0, 0.25)],
)
def test_steps_between_bfloat16_numbers(logit, step):
    assert logit_steps(np.array([logit])) == [step]


def test_rounding_errors_have_the_deviation_that_is_derived():
    logits = np.random.default_rng(0).uniform(4, 40, 100_000)
    errors = bfloat16(logits) - logits
    assert np.std(errors) == pytest.approx(np.sqrt(np.mean(logit_steps(logits) ** 2) / 12), rel=0.02)
    assert (abs(errors) <= logit_steps(logits) / 2 + 1e-6).all()


@pytest.mark.parametrize("size", [1, 5, 128, 129, 300])
def test_a_factor_solves_the_normal_equations(size):
    matrix = np.random.default_rng(size).standard_normal((2 * size + 1, size))
    wanted = np.random.default_rng(1).standard_normal((size, 3))
    normal = matrix.T @ matrix
    factor = factorise(matrix)
    assert factor.solve(normal @ wanted) == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    assert factor.solve(normal @ wanted[:, 0]) == pytest.approx(wanted[:, 0], rel=1e-6, abs=1e-9)
    forward = factor.forward(wanted)
    assert np.einsum("ij,ij->j", forward, forward) == pytest.approx(
        np.einsum("ij,ij->j", wanted, np.linalg.solve(normal, wanted)), rel=1e-6
    )
    largest = np.linalg.eigvalsh(normal)[-1]
    assert 0.9 * largest < largest_eigenvalue(lambda vector: normal @ vector, size) <= largest * (1 + 1e-9)


@pytest.mark.parametrize("count", [3, 5])
def test_too_few_different_rows_tell_no_state(count):
    position = made(0, 40, 4)
    ids, logprobs = answer(position, count)
    repeated = np.tile(ids, 9)
    with pytest.raises(
        InsufficientData, match=f"of {count} different rows of lm_head.weight do not determine"
    ):
        recover(position.head[repeated], np.tile(logprobs, 9), position.norm)


def test_rows_that_span_too_little_tell_no_state():
    position = made(0, 60, 6)
    flat = position.head.copy()
    flat[:, 0] = 0
    with pytest.raises(InsufficientData, match="do not determine a hidden state of size 6"):
        recover(flat, np.linspace(-1, -9, 60), position.norm)


def test_values_that_are_not_finite_tell_no_state():
    position = made(0, 60, 6)
    ids, logprobs = answer(position, 40)
    rows = position.head[ids]
    rows[3, 2] = np.nan
    with pytest.raises(InsufficientData, match="do not determine"):
        recover(rows, logprobs, position.norm)
    with pytest.raises(InsufficientData, match="do not determine"):
        recover(position.head[ids], np.full(40, np.nan), position.norm)
