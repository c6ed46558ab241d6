"""Tokens as text, and the place where two answers part."""

import math

import numpy as np
import pytest

from pytest_gptoss.model.results import Generation, TopLogprobs
from pytest_gptoss.model.token_text import token_text
from pytest_gptoss.report.builders.token_diffs import AFTER, BEFORE, LISTED, token_diff


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (200005, "<|channel|>"),
        (35644, "analysis"),
        (382, " is"),
        (0, "!"),
        (201000, "<|reserved_201000|>"),
        (-1, "<|reserved_-1|>"),
        (10**9, "<|reserved_1000000000|>"),
    ],
)
def test_tokens_as_text(token, text):
    assert token_text(token) == text


def test_half_a_character_is_written_as_its_bytes():
    assert token_text(110) == "\\xb2"


def _answer(ids, *, logprobs=None, top=None, words=None):
    return Generation("p", (1,), tuple(ids), "", "", (), "stop", 1, len(ids), logprobs, top, words)


def test_the_fork_and_what_stands_around_it():
    common = list(range(1000, 1040))
    npu = _answer(
        [*common, *range(2000, 2100)],
        logprobs=np.full(140, -0.5),
        top=TopLogprobs(np.tile(np.arange(7, dtype=np.int32), (140, 1)), np.full((140, 7), -1.0, np.float32)),
    )
    gpu = _answer([*common, 3000])
    diff = token_diff(npu, gpu, 40)
    assert diff["before"] == [token_text(token) for token in common[-BEFORE:]]
    assert diff["before_left_out"] == 40 - BEFORE
    assert [token["id"] for token in diff["npu"]["tokens"]] == list(range(2000, 2000 + AFTER))
    assert diff["npu"]["left_out"] == 100 - AFTER
    assert diff["npu"]["tokens"][0] == {"id": 2000, "text": token_text(2000), "logprob": -0.5}
    assert [token["id"] for token in diff["npu"]["listed"]] == list(range(LISTED))
    assert diff["gpu"] == {
        "tokens": [{"id": 3000, "text": token_text(3000), "logprob": None}], "left_out": 0, "listed": [],
    }  # fmt: skip


def test_an_answer_that_has_ended_and_figures_that_are_none():
    top = TopLogprobs(np.array([[5, -1]], np.int32), np.array([[-0.1, -math.inf]], np.float32))
    diff = token_diff(_answer([5], logprobs=np.array([math.nan]), top=top), _answer([]), 0)
    assert diff["gpu"]["tokens"] == []
    assert diff["npu"]["tokens"][0]["logprob"] is None
    assert [token["id"] for token in diff["npu"]["listed"]] == [5]


# -- the server's own words -------------------------------------------------------------------


def _texts(side):
    return [token["text"] for token in side["tokens"]], [token["text"] for token in side["listed"]]


def _listing(*ids):
    return TopLogprobs(np.array([ids], np.int32), np.full((1, len(ids)), -1.0, np.float32))


def test_a_server_of_another_vocabulary_is_shown_in_its_own_words():
    npu = _answer([382, 1000], words=("bon", "jour"), top=_listing(382, 5))
    diff = token_diff(npu, _answer([5], words=(token_text(5),), top=_listing(5, 382)), 0)
    assert _texts(diff["npu"]) == (["bon", "jour"], ["bon", "<|token_5|>"])
    assert _texts(diff["gpu"]) == ([token_text(5)], [token_text(5), " is"])


@pytest.mark.parametrize(
    "words",
    [None, (" is", None), (" is", "<|foo|>"), (" is", "token of a later vocabulary")],
    ids=["none told", "one told", "a reserved one has a name", "an added token"],
)
def test_words_that_agree_with_the_shipped_vocabulary_are_completed_from_it(words):
    diff = token_diff(_answer([382, 201000], words=words, top=_listing(5)), _answer([7]), 0)
    told = words[1] if words and words[1] else "<|reserved_201000|>"
    assert _texts(diff["npu"]) == ([" is", told], [token_text(5)])


def test_half_a_character_that_a_server_writes_otherwise_is_no_other_vocabulary():
    diff = token_diff(_answer([110, 382], words=("?", " is"), top=_listing(5)), _answer([7]), 0)
    assert _texts(diff["npu"])[1] == [token_text(5)]


def test_a_server_known_to_have_another_vocabulary_and_no_words_is_shown_by_its_ids():
    diff = token_diff(_answer([382]), _answer([5]), 0, foreign=frozenset({"npu"}))
    assert _texts(diff["npu"])[0] == ["<|token_382|>"]
    assert _texts(diff["gpu"])[0] == [token_text(5)]
