"""Prompts in pieces and sequences computed again change no answer; the counters tell of them."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from engine_runs import greedy, logprobs, running, said, scores, together
from plain_transformers import some_ids
from scripted_engine import ScriptedEngine

from pytest_gptoss.reference.generation import EngineStats, GenerationRequest
from pytest_gptoss.reference.metrics import FinishCounter, exposition

SMALL = {"kv_cache_tokens": 320, "max_num_seqs": 8, "max_num_batched_tokens": 128}


class SecondBest:
    """Always takes the second most likely token."""

    def choose(self, _, likely):
        ranking = iter(likely)
        next(ranking)
        return next(ranking)


def requests():
    """One of each kind, each long enough to be preempted."""
    plain = [greedy(some_ids(90, seed=seed), 40) for seed in range(3)]
    stop = frozenset({some_ids(1, seed=9)[0]})
    return [
        *plain,
        GenerationRequest(tuple(some_ids(90, seed=5)), 40, temperature=3.0, seed=1),
        greedy(some_ids(90, seed=6), 40, min_tokens=30, stop_token_ids=stop),
        greedy(some_ids(90, seed=7), 40, guide=SecondBest()),
        greedy(some_ids(90, seed=8), 40, logprobs=2, prompt_logprobs=1),
    ]


@pytest.fixture(scope="module")
def answers():
    """What an engine without a bound says to the requests, each asked for alone."""
    with running() as engine:
        return [together(engine, [request])[0] for request in requests()]


def test_answers_are_the_same_after_preemption(answers):
    with running(**SMALL) as engine:
        assert together(engine, requests()) == answers
        stats = engine.stats
    assert stats.preemptions >= 2
    assert (stats.running, stats.waiting, stats.kv_cache_usage) == (0, 0, 0.0)
    assert stats.generation_tokens == sum(map(len, answers))
    assert stats.prompt_tokens == 7 * 90


def test_answers_are_the_same_where_prompts_are_read_in_small_pieces(answers):
    with running(max_num_batched_tokens=24) as engine:
        assert together(engine, requests()) == answers


def test_pieces_change_no_log_probability():
    ids = some_ids(300)
    with running(max_num_batched_tokens=37) as pieces, running() as whole:
        assert logprobs(pieces, ids) == pytest.approx(logprobs(whole, ids), abs=1e-4)


def test_log_probabilities_go_on_where_they_stopped():
    request = requests()[-1]

    async def both(engine, *others):
        async def scored():
            stream = engine.submit(request)
            return [token.logprobs.logprob async for token in stream], stream.prompt_logprobs

        return (await asyncio.gather(*[said(engine, other) for other in others], scored()))[-1]

    with running() as engine:
        generated, prompt = asyncio.run(both(engine))
    with running(**SMALL) as engine:
        again, prompt_again = asyncio.run(both(engine, *requests()[:4]))
        assert engine.stats.preemptions
    assert again == pytest.approx(generated, abs=1e-4)
    assert [each.logprob for each in prompt_again[1:]] == pytest.approx(
        [each.logprob for each in prompt[1:]], abs=1e-4
    )


def test_a_prompt_that_is_scored_survives_its_preemption():
    ids = some_ids(300)
    with running(kv_cache_tokens=336, max_num_batched_tokens=64) as engine:

        async def main():
            talker = engine.submit(greedy(some_ids(40), 90))
            stream = engine.submit(greedy(ids, 0, prompt_logprobs=0))
            for each in (stream, talker):
                async for _ in each:
                    pass
            return stream.prompt_logprobs

        records = asyncio.run(main())
        assert engine.stats.preemptions
        alone = scores(engine, ids)
    assert [each.logprob for each in records[1:]] == pytest.approx(
        [each.logprob for each in alone[1:]], abs=1e-4
    )


def test_a_preempted_sequence_that_is_cancelled_never_comes_back():
    with running(kv_cache_tokens=64) as engine:

        async def main():
            first = engine.submit(greedy(some_ids(30), 34))
            second = engine.submit(greedy(some_ids(30, seed=1), 34))
            await anext(second)
            async for _ in first:
                if engine.stats.preemptions:
                    second.cancel()
            return await said(engine, greedy(some_ids(20), 3))

        assert len(asyncio.run(main())) == 3
        assert (engine.stats.running, engine.stats.waiting) == (0, 0)


def test_a_prompt_that_could_never_fit_is_refused():
    with running(kv_cache_tokens=100) as engine:
        assert engine.max_model_len == 96
        with pytest.raises(ValueError, match="a prompt of 97 tokens: give 1 to 96"):
            together(engine, [greedy(some_ids(97), 1)])
        assert len(together(engine, [greedy(some_ids(90), 100)])[0]) == 6


# -- how it is told -------------------------------------------------------------------------------


def test_metrics_tell_preemptions_and_the_kv_cache():
    stats = EngineStats(preemptions=3, kv_cache_usage=0.25, kv_cache_blocks=40)
    page = exposition(stats, FinishCounter(), model="m")
    assert 'vllm:num_preemptions_total{engine="0",model_name="m"} 3.0' in page
    assert "# TYPE vllm:num_preemptions_total counter" in page
    assert 'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25' in page
    assert 'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="40"} 1.0' in page
    unbounded = exposition(dataclasses.replace(stats, kv_cache_blocks=None), FinishCounter(), model="m")
    assert "num_gpu_blocks" not in unbounded


def test_a_scripted_engine_has_the_default_limits():
    assert ScriptedEngine([]).limits.max_num_batched_tokens == 512
