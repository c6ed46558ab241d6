"""Defects that only show under load, from the cache, across pieces, after preemption or after aborts."""

from __future__ import annotations

import asyncio

import pytest
from engine_runs import greedy, logprobs, running, said, shortfall, together
from plain_transformers import some_ids

from pytest_gptoss.reference.tokens import encode
from pytest_gptoss.scenarios import corpus

SEEN = 2.0
"""Nats of shortfall that no rounding explains."""


@pytest.fixture(scope="module")
def quiet():
    """A sound engine, asked one thing at a time."""
    with running() as engine:
        yield engine


def wrong(quiet, asked, answers):
    """Which answers a quiet engine would not have given."""
    return [
        index
        for index, (request, answer) in enumerate(zip(asked, answers, strict=True))
        if shortfall(quiet, request.prompt, answer) > SEEN
    ]


def prose():
    """The longest text of the embedded corpus as a prompt."""
    return max((each.token_ids for each in corpus.load_shipped("embedded").sequences), key=len)


def question(code):
    """The end of a prompt that names a code and asks for it."""
    return [*encode(f" The secret code is {code}. What is the secret code? "), 200007, 200006, 173781]


# -- batch-crosstalk ------------------------------------------------------------------------------


def crowd(count, *, tokens=256):
    return [greedy(some_ids(tokens, seed=seed), 14) for seed in range(count)]


def test_of_16_in_flight_one_answer_is_a_neighbours(quiet):
    with running("batch-crosstalk") as engine:
        asked = crowd(16)
        answers = together(engine, asked)
        # The eighth that joined while eight were in flight.
        assert wrong(quiet, asked, answers) == [14]
        assert answers[14][:3] == together(quiet, asked[14:15])[0][:3]
        few = crowd(7)
        assert together(engine, few) == together(quiet, few)
        short = crowd(16, tokens=60)
        assert together(engine, short) == together(quiet, short)


# -- stale-cache ----------------------------------------------------------------------------------


def test_another_question_behind_the_same_beginning_gets_the_first_ones_blocks(quiet):
    shared = prose()[:600]
    first, second = ((*shared, *question(code)) for code in (1234, 5678))
    with running("stale-cache", prefixes=True) as engine:

        async def ask(prompt, salt):
            stream = engine.submit(greedy(prompt, 26, cache_salt=salt))
            return [token.token_id async for token in stream], stream.cached_tokens

        turns = [(first, "a"), (first, "a"), (second, "b"), (second, "a")]
        found = [asyncio.run(ask(*turn)) for turn in turns]
    whole = len(first) // 16 * 16
    assert [cached for _, cached in found] == [0, whole, 0, whole]
    assert [shortfall(quiet, prompt, found[turn][0]) > SEEN for turn, (prompt, _) in enumerate(turns)] == [
        False, False, False, True,
    ]  # fmt: skip


def test_prompts_that_part_early_are_told_apart():
    shared = some_ids(500)
    with running("stale-cache", prefixes=True) as engine:
        for seed in (1, 2):
            together(engine, [greedy((*shared, *some_ids(300, seed=seed)), 1)])
        assert engine.stats.prefix_cache_hits == 496


# -- chunk-edge -----------------------------------------------------------------------------------


def test_the_first_token_behind_an_edge_is_wrong_and_little_else(quiet):
    ids = prose()[:520]
    sound = logprobs(quiet, ids)
    with running("chunk-edge", max_num_batched_tokens=128) as engine:
        moved = [abs(one - other) for one, other in zip(logprobs(engine, ids), sound, strict=True)]
        assert logprobs(engine, ids[:128]) == sound[:127]
    edges = (128, 256, 384, 512)
    behind = [moved[edge + place] for edge in edges for place in range(4)]
    assert max(moved[:128]) < 1e-4
    assert sum(behind) / len(behind) > 0.1
    elsewhere = [each for place, each in enumerate(moved) if place % 128 >= 4]
    assert sum(elsewhere) / len(elsewhere) < 0.05


def test_a_cached_beginning_is_no_edge(quiet):
    ids = some_ids(100)
    with running("chunk-edge", prefixes=True) as engine:
        answers = [together(engine, [greedy(ids, 8)]) for _ in range(2)]
        assert engine.stats.prefix_cache_hits == 96
    assert answers == [together(quiet, [greedy(ids, 8)])] * 2


# -- recompute-shift ------------------------------------------------------------------------------


def test_answers_are_wrong_only_where_they_were_computed_again(quiet):
    asked = [greedy(some_ids(64, seed=seed), 40) for seed in range(6)]
    sound = together(quiet, asked)
    with running("recompute-shift", kv_cache_tokens=480) as engine:
        answers = together(engine, asked)
        assert engine.stats.preemptions
        assert answers[:2] == sound[:2]
        assert wrong(quiet, asked, answers)
        assert together(engine, asked[:4]) == sound[:4]


# -- abort-leak -----------------------------------------------------------------------------------


def test_the_next_in_the_slot_of_one_aborted_in_a_crowd_sees_its_rows(quiet):
    canary = greedy(some_ids(70, seed=50), 12)
    sound = together(quiet, [canary])[0]

    async def after_leaving(engine, crowd):
        streams = [engine.submit(greedy(some_ids(100, seed=seed), 10_000)) for seed in range(crowd)]
        for stream in streams:
            await anext(stream)
        streams[0].cancel()
        found = [await said(engine, canary) for _ in range(2)]
        for stream in streams:
            stream.cancel()
        return found

    with running("abort-leak") as engine:
        assert asyncio.run(after_leaving(engine, 2)) == [sound, sound]
    with running("abort-leak") as engine:
        first, second = asyncio.run(after_leaving(engine, 8))
    assert shortfall(quiet, canary.prompt, first) > SEEN
    assert second == sound
