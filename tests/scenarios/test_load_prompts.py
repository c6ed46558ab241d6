"""Prompts for load: all of one exact length, none beginning like another, cheap to make."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_needle import FRAME, Counter, merging, thirds

from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.scenarios.load_prompts import ASK, LoadPrompts, chat_texts, token_prompts


def texts(tokens, *, count=20, counter, seed=5):
    return asyncio.run(chat_texts(tokens, count=count, seed=seed, counter=counter))


def words(text):
    return len(text.split())


@settings(deadline=None, max_examples=12)
@given(
    tokens=st.integers(200, 800),
    seed=st.integers(0, 2**40),
    size=st.integers(0, 2**20).map(merging) | st.just(words),
)
def test_every_prompt_has_the_length_under_any_tokenizer(tokens, seed, size):
    counter = Counter(size)
    made = texts(tokens, count=6, counter=counter, seed=seed)
    assert {FRAME + size(text) for text in made} == {tokens}
    assert all(text.endswith(ASK) for text in made)
    assert len({text.split(" ")[0] for text in made}) == 6


def test_the_real_vocabulary_takes_a_dozen_counts_for_two_hundred_prompts(harmony):
    def size(text):
        return len(harmony.encode(text))

    counter = Counter(size)
    made = texts(1024, count=200, counter=counter)
    assert counter.calls <= 20
    assert {FRAME + size(text) for text in made} == {1024}
    assert len({harmony.encode(text)[0] for text in made}) == 200
    assert len(set(made)) == 200


def test_other_prompts_come_with_another_seed(harmony):
    counter = Counter(lambda text: len(harmony.encode(text)))
    first, second = texts(400, counter=counter, seed=1), texts(400, counter=counter, seed=2)
    beginnings = [{" ".join(text.split()[:12]) for text in made} for made in (first, second)]
    assert not beginnings[0] & beginnings[1]


def test_a_server_whose_counts_do_not_follow_is_told():
    async def cut(text):
        return min(FRAME + words(text), 300)

    with pytest.raises(DialectError, match="does it cut prompts short"):
        texts(600, counter=cut)


def test_bytes_that_shift_are_no_obstacle():
    made = texts(600, counter=Counter(thirds))
    assert {FRAME + thirds(text) for text in made} == {600}


@given(st.integers(2, 300), st.integers(1, 400), st.integers(0, 2**40))
def test_token_prompts_are_exact_and_begin_apart(tokens, pool, seed):
    made = list(token_prompts(range(500, 500 + max(pool, tokens)), [tokens] * 40, seed=seed))
    assert {len(ids) for ids in made} == {tokens}
    assert len({ids[0] for ids in made}) == 40


def test_each_request_has_an_id_and_a_salt_of_its_own():
    prompts = LoadPrompts(({"prompt": [1]}, {"prompt": [2]}, {"prompt": [3]}), "/v1/completions", 0)
    warm = prompts.requests("w", model="m", first=0, last=1)
    made = prompts.requests("run", model="m", first=1, last=3)
    assert [each.id for each in made] == ["run-0000", "run-0001"]
    assert [each.body["prompt"] for each in (*warm, *made)] == [[1], [2], [3]]
    assert {each.body["model"] for each in made} == {"m"}
    assert len({each.body["cache_salt"] for each in (*warm, *made)}) == 3
    assert "model" not in prompts.requests("x", model=None, first=0, last=1)[0].body
