"""Divergence of top lists: by hand, by property, and never to a device's disadvantage."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from made import top

from pytest_gptoss.judge.metrics.divergence import divergence


def one_kl(reference, tested):
    (value,) = divergence(top(reference), top(tested))
    return value


def logs(probabilities):
    return {token: math.log(p) for token, p in probabilities.items()}


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
