from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gptoss.reference.scoring import score
from pytest_gptoss.reference.vocabulary import Vocabulary

SIZE = 12
COMPACT = Vocabulary.compact(SIZE, torch.tensor([1, 4, 9]))

levels = st.lists(st.integers(-4, 4), min_size=4, max_size=4)


@settings(deadline=None, max_examples=60)
@given(rows=levels, actual=st.integers(0, SIZE - 1), top=st.integers(0, SIZE + 2))
def test_counting_shared_rows_gives_what_the_whole_vocabulary_gives(rows, actual, top):
    logits = torch.tensor([rows], dtype=torch.float32)
    found = score(logits, torch.tensor([actual]), top, COMPACT)[0]

    whole = logits[0][COMPACT.row_of].log_softmax(dim=-1)
    assert found.logprob == pytest.approx(float(whole[actual]), abs=1e-5)
    assert found.rank == sum(logits[0][COMPACT.row_of] >= logits[0][COMPACT.row_of[actual]])
    ranking = sorted(range(SIZE), key=lambda token: (-float(logits[0][COMPACT.row_of[token]]), token))
    assert [token for token, _ in found.top] == ranking[:top] or _ties_at_the_edge(found.top, whole, top)
    for token, logprob in found.top:
        assert logprob == pytest.approx(float(whole[token]), abs=1e-5)


def _ties_at_the_edge(top, whole, count):
    """Of several equally likely last ones any may be named."""
    expected = sorted((round(float(value), 4) for value in whole), reverse=True)[:count]
    return [round(value, 4) for _, value in top] == expected


def test_each_position_has_its_own_record():
    logits = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    first, second = score(logits, torch.tensor([1, 1]), 1, Vocabulary.full(2))
    assert (first.rank, second.rank) == (1, 2)
    assert first.logprob == pytest.approx(-math.log(1 + math.exp(-1)))
    assert second.top[0][0] == 0


def test_no_alternatives_unless_asked():
    assert score(torch.zeros(1, 2), torch.tensor([0]), 0, Vocabulary.full(2))[0].top == ()


def test_two_equally_likely_tokens_both_have_the_lower_rank():
    record = score(torch.zeros(1, 2), torch.tensor([0]), 2, Vocabulary.full(2))[0]
    assert record.rank == 2
    assert [token for token, _ in record.top] == [0, 1]
