from __future__ import annotations

import torch

from pytest_gptoss.reference.vocabulary import Vocabulary

USED = torch.tensor([2, 5, 6], dtype=torch.int32)


def test_ids_without_a_row_of_their_own_share_the_last_one():
    vocabulary = Vocabulary.compact(9, USED)
    assert vocabulary.rows(torch.tensor([2, 6, 0, 8])).tolist() == [0, 2, 3, 3]
    assert vocabulary.copies.tolist() == [1, 1, 1, 6]
    assert vocabulary.first_id.tolist() == [2, 5, 6, 0]
    assert vocabulary.ids_of(3).tolist() == [0, 1, 3, 4, 7, 8]


def test_an_ordinary_vocabulary_has_a_row_per_id():
    vocabulary = Vocabulary.full(4)
    assert vocabulary.rows(torch.arange(4)).tolist() == [0, 1, 2, 3]
    assert vocabulary.copies.tolist() == [1] * 4


def test_ids_taken_away_are_no_longer_counted():
    fewer = Vocabulary.compact(9, USED).without(frozenset({0, 5}))
    assert fewer.copies.tolist() == [1, 0, 1, 5]
    assert fewer.first_id.tolist() == [2, 9, 6, 1]
    assert fewer.ids_of(3).tolist() == [1, 3, 4, 7, 8]
    assert fewer.log_copies[1] == -torch.inf


def test_taking_nothing_away_changes_nothing():
    vocabulary = Vocabulary.full(4)
    assert vocabulary.without(frozenset()) is vocabulary


def test_a_table_by_rows_is_expanded_to_one_by_ids():
    table = torch.tensor([[2.0], [5.0], [6.0], [-1.0]])
    expanded = Vocabulary.compact(9, USED).expand(table)
    assert expanded.flatten().tolist() == [-1, -1, 2, -1, -1, 5, 6, -1, -1]


def test_only_the_allowed_ids_are_counted():
    fewer = Vocabulary.compact(9, USED).only(frozenset({5, 7, 8}))
    assert fewer.copies.tolist() == [0, 1, 0, 2]
    assert fewer.first_id.tolist() == [9, 5, 9, 7]
