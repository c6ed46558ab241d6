from __future__ import annotations

import hashlib
import re
from collections import Counter
from itertools import islice

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_gptoss.scenarios import prose

seeds = st.integers(min_value=-(2**70), max_value=2**70)


languages = st.sampled_from(prose.LANGUAGES)


def taken(seed: int, count: int, language: str = "en") -> list[str]:
    return list(islice(prose.sentences(seed, language), count))


@settings(max_examples=6, deadline=None)
@given(seeds, languages)
def test_no_sentence_comes_twice(seed, language):
    said = taken(seed, 20_000, language)

    assert len(set(said)) == 20_000


@pytest.mark.parametrize(("language", "size"), [("en", 288_206), ("zh", 191_760)])
def test_the_stream_holds_every_sentence_once_and_ends(language, size):
    said = list(prose.sentences(7, language))

    assert len(said) == len(set(said)) == prose.capacity(language) == size


@settings(max_examples=50, deadline=None)
@given(seeds, seeds, languages)
def test_different_seeds_differ_within_three_sentences(one, other, language):
    assume(one != other)

    assert taken(one, 3, language) != taken(other, 3, language)


@pytest.mark.parametrize("language", prose.LANGUAGES)
def test_neighbouring_seeds_begin_differently(language):
    beginnings = Counter(" ".join(taken(seed, 3, language)) for seed in range(1000))

    assert max(beginnings.values()) == 1


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "25c3de403614597d38f786b9c12c6cdec96cd533ab1980475a73bb9b9735d37d"),
        ("zh", "7c0733310447c91f61a759b38bca7993478c3102411f7c7c69538e375fd84fcb"),
    ],
)
def test_a_seed_means_the_same_text_on_every_python_and_machine(language, expected):
    digest = hashlib.sha256(prose.text(0, 2_000, language).encode()).hexdigest()

    assert digest == expected


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_only_known_words_stand_in_it(seed):
    for sentence in taken(seed, 1_000):
        assert sentence.endswith(".")
        assert sentence.count(".") == 1
        assert set(sentence.rstrip(".").split()) <= prose.words()


def test_only_known_words_stand_in_chinese_prose():
    # Words are not set apart, so what is left when the known ones are gone must be nothing.
    known = re.compile("|".join(sorted(prose.words("zh"), key=len, reverse=True)))
    for sentence in taken(1, 2_000, "zh"):
        assert sentence.endswith("。")
        assert known.sub("", sentence).strip("，。") == ""


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
    arguments = (0, "fr") if ask is prose.sentences else ("fr",)

    with pytest.raises(ValueError, match="no prose in language 'fr': choose one of en, zh"):
        ask(*arguments)


@pytest.mark.parametrize("language", prose.LANGUAGES)
def test_without_a_repeat_it_is_longer_than_the_longest_context(language, harmony):
    assert len(harmony.encode(prose.text(1, 20_000, language))) > 131_072


def test_chinese_is_joined_without_spaces():
    assert prose.text(5, 3, "zh") == "".join(taken(5, 3, "zh"))


@given(st.integers(0, 24), st.integers(0, 30), languages)
def test_a_filler_grows_by_the_words_asked_for(words, turn, language):
    sizes = [len(prose.filler(count, turn, language)) for count in (words, words + 1)]

    assert sizes[0] < sizes[1]
    assert prose.language_of(prose.filler(words, turn, language)) == language
