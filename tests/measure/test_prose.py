from __future__ import annotations

import hashlib
from collections import Counter
from itertools import islice

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_gptoss.measure import prose

seeds = st.integers(min_value=-(2**70), max_value=2**70)


def taken(seed: int, count: int) -> list[str]:
    return list(islice(prose.sentences(seed), count))


@settings(max_examples=6, deadline=None)
@given(seeds)
def test_no_sentence_comes_twice(seed):
    said = taken(seed, 20_000)

    assert len(set(said)) == 20_000


def test_the_stream_holds_every_sentence_once_and_ends():
    said = list(prose.sentences(7))

    assert len(said) == len(set(said)) == prose.capacity() == 288_206


@settings(max_examples=50, deadline=None)
@given(seeds, seeds)
def test_different_seeds_differ_within_three_sentences(one, other):
    assume(one != other)

    assert taken(one, 3) != taken(other, 3)


def test_neighbouring_seeds_begin_differently():
    beginnings = Counter(" ".join(taken(seed, 3)) for seed in range(1000))

    assert max(beginnings.values()) == 1


def test_a_seed_means_the_same_text_on_every_python_and_machine():
    digest = hashlib.sha256(prose.text(0, 2_000).encode()).hexdigest()

    assert digest == "25c3de403614597d38f786b9c12c6cdec96cd533ab1980475a73bb9b9735d37d"


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_only_known_words_stand_in_it(seed):
    for sentence in taken(seed, 1_000):
        assert sentence.endswith(".")
        assert sentence.count(".") == 1
        assert set(sentence.rstrip(".").split()) <= prose.words()


def shape_of(sentence: str) -> str:
    words = sentence.split()
    if words[0] in {"In", "At", "Every", "On"}:
        return "time"
    if len(words) == 4 and words[2] == "is" and words[0] == "The":
        return "quality"
    if words[0] == "The" and words[1] in {"old", "young", "small", "big", "red", "green", "quiet", "happy",
                                         "brown", "white", "clever", "gentle"}:  # fmt: skip
        return "place"
    return "aside"


def test_shapes_come_by_their_shares():
    firsts = Counter(shape_of(sentence) for seed in range(400) for sentence in taken(seed, 10))

    shares = {shape: 100 * count / 4_000 for shape, count in firsts.items()}
    assert shares["place"] == pytest.approx(40, abs=4)
    assert shares["quality"] == pytest.approx(20, abs=4)
    assert shares["time"] == pytest.approx(25, abs=4)
    # 15 less the draws that found the ten asides used up, which ten sentences hardly ever do
    assert shares["aside"] == pytest.approx(15, abs=4)


def test_used_up_shapes_leave_their_share_to_the_others():
    shapes = Counter(shape_of(sentence) for sentence in taken(3, 20_000))

    assert shapes["aside"] == 10
    assert shapes["quality"] == 196
    assert shapes["place"] / shapes["time"] == pytest.approx(40 / 25, rel=0.1)


def test_text_joins_the_first_sentences():
    assert prose.text(5, 3) == " ".join(taken(5, 3))
    assert prose.text(5, 0) == ""


@pytest.mark.parametrize("count", [-1, 288_207])
def test_text_refuses_a_count_it_cannot_give(count):
    with pytest.raises(ValueError, match=f"{count} sentences .* between 0 and 288206"):
        prose.text(0, count)


@pytest.mark.parametrize("ask", [prose.sentences, prose.capacity, prose.words])
def test_an_unknown_language_is_refused_by_name(ask):
    arguments = (0, "zh") if ask is prose.sentences else ("zh",)

    with pytest.raises(ValueError, match="no prose in language 'zh': choose one of en"):
        ask(*arguments)


def test_without_a_repeat_it_is_longer_than_the_longest_context(harmony):
    assert len(harmony.encode(prose.text(1, 20_000))) > 131_072
