"""Where hidden states are recovered: over all sequences, and spread over each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.scenarios.corpus import load_shipped
from pytest_gptoss.scenarios.hidden_positions import spread_positions


def _corpus(lengths):
    return [TokenSequence(f"s{number}", tuple(range(length))) for number, length in enumerate(lengths)]


@given(st.lists(st.integers(2, 400), min_size=1, max_size=40), st.integers(1, 300))
def test_as_many_as_asked_for_where_there_is_room(lengths, count):
    found = spread_positions(_corpus(lengths), count)
    for name, positions in found.items():
        length = lengths[int(name[1:])]
        assert positions
        assert list(positions) == sorted(set(positions))
        assert all(1 <= each < length for each in positions)
    total = sum(map(len, found.values()))
    assert total <= count
    if min(lengths) > count:
        assert total == count


@pytest.mark.parametrize("profile", ["atlas-800-a2", "embedded"])
@pytest.mark.parametrize("count", [16, 128, 1000])
def test_of_the_shipped_corpora_near_and_far_positions_have_their_share(profile, count):
    corpus = load_shipped(load_profile(profile).workload.corpus).sequences
    found = spread_positions(corpus, count)
    assert sum(map(len, found.values())) == count
    if count >= len(corpus):
        assert found.keys() == {each.id for each in corpus}
    far = sum(each >= 128 for positions in found.values() for each in positions) / count
    rest = sum(max(0, len(each.token_ids) - 128) for each in corpus) / sum(len(e.token_ids) for e in corpus)
    if count > 16:
        assert abs(far - rest) < 0.25
    assert far > 0.1
