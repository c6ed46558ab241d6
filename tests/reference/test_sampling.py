from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gptoss.reference.sampling import NOT_A_NUMBER, greedy, sample
from pytest_gptoss.reference.vocabulary import Vocabulary

SIZE = 12
COMPACT = Vocabulary.compact(SIZE, torch.tensor([1, 4, 9]))
DRAWS = 4000

levels = st.lists(st.integers(-3, 3), min_size=4, max_size=4)


def draw(logits, vocabulary=COMPACT, *, count=DRAWS, seed=1, **wishes):
    random = np.random.default_rng(seed)
    options = {"temperature": 1.0, "top_p": 1.0, **wishes}
    return [
        sample(torch.tensor(logits, dtype=torch.float32), vocabulary, random=random, **options)
        for _ in range(count)
    ]


@settings(deadline=None, max_examples=60)
@given(rows=levels, forbidden=st.frozensets(st.integers(0, SIZE - 1), max_size=4))
def test_greedy_is_the_lowest_of_the_most_likely_ids_still_allowed(rows, forbidden):
    logits = torch.tensor([rows], dtype=torch.float32)
    whole = logits[0][COMPACT.row_of].tolist()
    allowed = [token for token in range(SIZE) if token not in forbidden]
    best = max(whole[token] for token in allowed)
    expected = next(token for token in allowed if whole[token] == best)
    vocabulary = COMPACT.without(forbidden)
    assert greedy(logits, vocabulary) == [expected]
    assert draw(rows, vocabulary, count=1, temperature=0.0) == [expected]


def test_each_position_is_chosen_by_itself():
    assert greedy(torch.tensor([[0.0, 1.0], [3.0, 2.0]]), Vocabulary.full(2)) == [1, 0]


def test_what_is_no_number_becomes_the_exclamation_mark():
    logits = torch.full((1, 4), torch.nan)
    assert greedy(logits, COMPACT) == [NOT_A_NUMBER]
    assert draw([float("nan")] * 4, count=1) == [NOT_A_NUMBER]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_probabilities_of_the_whole_vocabulary(temperature):
    logits = [1.5, 0.0, -1.0, 0.25]
    expected = (torch.tensor(logits)[COMPACT.row_of] / temperature).softmax(dim=-1)
    counts = Counter(draw(logits, temperature=temperature))
    observed = torch.tensor([counts[token] / DRAWS for token in range(SIZE)])
    assert float((observed - expected).abs().max()) < 0.03


@settings(deadline=None, max_examples=60)
@given(rows=levels, top_p=st.floats(0.05, 0.95))
def test_top_p_draws_from_the_smallest_set_that_reaches_it(rows, top_p):
    whole = torch.tensor(rows, dtype=torch.float64)[COMPACT.row_of].softmax(dim=-1).tolist()
    ranking = sorted(range(SIZE), key=lambda token: (-round(whole[token], 12), token))
    cumulative = np.cumsum([whole[token] for token in ranking])
    needed = int(np.searchsorted(cumulative, top_p - 1e-9)) + 1
    edge = whole[ranking[needed - 1]]
    drawn = set(draw(rows, count=200, top_p=top_p))
    assert all(whole[token] > edge - 1e-9 for token in drawn)
    assert len(drawn) <= needed + int(np.isclose(cumulative, top_p, atol=1e-6).any())


def test_a_small_top_p_leaves_the_most_likely_alone():
    assert set(draw([0.0, 5.0, 0.0, 0.0], top_p=0.01)) == {4}


def test_a_shared_row_enters_the_set_id_by_id():
    drawn = set(draw([-9.0, -9.0, -9.0, 1.0], top_p=0.3))
    assert drawn == {0, 2, 3}


def test_a_seed_decides_the_draws():
    logits = [1.0, 0.5, 0.0, 0.5]
    assert draw(logits, seed=7, count=50) == draw(logits, seed=7, count=50)
    assert draw(logits, seed=7, count=50) != draw(logits, seed=8, count=50)


def test_where_nothing_may_be_drawn_the_exclamation_mark_is():
    nothing = COMPACT.without(frozenset(range(SIZE)))
    assert greedy(torch.zeros(1, 4), nothing) == [NOT_A_NUMBER]
    assert draw([0.0] * 4, nothing, count=1) == [NOT_A_NUMBER]


def test_forbidden_ids_are_never_drawn():
    drawn = set(draw([0.0, 0.0, 0.0, 0.0], COMPACT.without(frozenset({4, 0, 11}))))
    assert drawn == set(range(SIZE)) - {4, 0, 11}
