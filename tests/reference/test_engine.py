from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager

import pytest
import torch
from plain_transformers import plain_logits, plain_states, some_ids, tiny

from pytest_gptoss.model.errors import ReferenceServerError, UsageError
from pytest_gptoss.reference import engine as engine_module
from pytest_gptoss.reference.defects import Faults
from pytest_gptoss.reference.engine import Engine, create_engine
from pytest_gptoss.reference.forward import Forward
from pytest_gptoss.reference.generation import GenerationRequest
from pytest_gptoss.reference.limits import Limits
from pytest_gptoss.reference.prefix_cache import PrefixCache

ENDLESS = 100_000


@contextmanager
def running(*, max_num_seqs=16, max_model_len=131_072, prefixes=True, faults=None, dtype="float32"):
    engine = Engine(
        Forward(tiny(dtype), faults or Faults()),
        max_model_len=max_model_len,
        limits=Limits(max_num_seqs),
        threads=1,
        prefix_cache=PrefixCache(2**24) if prefixes else None,
    )
    try:
        yield engine
    finally:
        engine.close()


def greedy(prompt, max_tokens, **wishes):
    return GenerationRequest(prompt=tuple(prompt), max_tokens=max_tokens, temperature=0.0, **wishes)


async def tokens_of(stream):
    return [token async for token in stream]


async def ids_of(engine, request):
    return [token.token_id for token in await tokens_of(engine.submit(request))]


def generate(engine, *requests):
    """Token ids of each request, all submitted at once."""

    async def all_of_them():
        return await asyncio.gather(*[ids_of(engine, request) for request in requests])

    return asyncio.run(all_of_them())


def plain_greedy(prompt, count):
    """Greedy continuation by plain transformers, recomputing everything for each token."""
    ids = list(prompt)
    for _ in range(count):
        row = int(plain_logits(ids)[-1].argmax())
        ids.append(int(tiny().vocabulary.first_id[row]))
    return ids[len(prompt) :]


# -- what is computed -----------------------------------------------------------------------------


def test_greedy_tokens_are_those_of_plain_transformers():
    prompt = some_ids(140)
    with running() as engine:
        assert generate(engine, greedy(prompt, 12)) == [plain_greedy(prompt, 12)]


def test_a_token_that_alone_is_allowed_has_its_log_probability_among_all():
    prompt = tuple(some_ids(40))
    scored = GenerationRequest(prompt, max_tokens=1, temperature=0.0, prompt_logprobs=0)
    with running() as engine:

        async def both():
            stream = engine.submit(scored)
            await tokens_of(stream)
            forced = []
            for place in range(1, len(prompt)):
                only = frozenset({prompt[place]})
                request = greedy(prompt[:place], 1, allowed_token_ids=only, logprobs=1)
                forced += await tokens_of(engine.submit(request))
            return stream.prompt_logprobs[1:], forced

        scores, forced = asyncio.run(both())
    assert [token.token_id for token in forced] == list(prompt[1:])
    assert [token.logprobs.logprob for token in forced] == pytest.approx(
        [score.logprob for score in scores], abs=1e-4
    )
    assert min(token.logprobs.logprob for token in forced) < -1


def test_of_several_allowed_tokens_the_likeliest_is_chosen():
    prompt = some_ids(40)
    likeliest = plain_greedy(prompt, 1)[0]
    with running() as engine:
        others = frozenset({likeliest, 1, 150_000})
        assert generate(engine, greedy(prompt, 1, allowed_token_ids=others)) == [[likeliest]]
        answers = generate(engine, greedy(prompt, 3, allowed_token_ids=others - {likeliest}))
        assert set(answers[0]) <= {1, 150_000}


def test_greedy_tokens_do_not_depend_on_who_shares_the_batch():
    requests = [
        greedy(some_ids(length, seed=length), 24) for length in (5, 60, 127, 128, 300, 520, 900, 1500)
    ]
    with running(prefixes=False) as engine:
        alone = [generate(engine, request)[0] for request in requests]
        assert generate(engine, *requests) == alone
    assert len({tuple(ids) for ids in alone}) > 4


def test_sequences_join_and_leave_while_others_go_on():
    short = [greedy(some_ids(200 + 50 * index, seed=index), 8) for index in range(6)]
    with running(max_num_seqs=3, prefixes=False) as engine:
        alone = [generate(engine, request)[0] for request in short]

        async def main():
            long = engine.submit(greedy(some_ids(20), ENDLESS))
            await anext(long)
            others = await asyncio.gather(*[ids_of(engine, request) for request in short])
            still_running = engine.stats.running
            long.cancel()
            return others, still_running

        others, still_running = asyncio.run(main())
        assert others == alone
        assert still_running == 1


def test_a_cached_prefix_changes_no_token_and_is_counted():
    prompt = some_ids(200)
    with running() as engine:

        async def twice():
            first = engine.submit(greedy(prompt, 10, cache_salt="a"))
            one = await tokens_of(first)
            second = engine.submit(greedy(prompt, 10, cache_salt="a"))
            two = await tokens_of(second)
            other = engine.submit(greedy(prompt, 10, cache_salt="b"))
            three = await tokens_of(other)
            return (one, two, three), [stream.cached_tokens for stream in (first, second, other)]

        answers, cached = asyncio.run(twice())
        assert answers[0] == answers[1] == answers[2]
        assert cached == [0, 192, 0]
        stats = engine.stats
        assert (stats.prefix_cache_queries, stats.prefix_cache_hits) == (600, 192)
        assert (stats.prompt_tokens, stats.generation_tokens) == (600, 30)


def test_the_prefix_cache_can_be_turned_off():
    with running(prefixes=False) as engine:
        generate(engine, greedy(some_ids(100), 2))
        generate(engine, greedy(some_ids(100), 2))
        assert engine.stats.prefix_cache_queries == 0


def test_prompt_logprobs_are_those_of_the_whole_vocabulary():
    # Longer than one step's budget, with ids that share a row.
    prompt = [*some_ids(700), 0, 150_000, *some_ids(5, seed=1)]
    with running() as engine:

        async def scored(request):
            stream = engine.submit(request)
            tokens = await tokens_of(stream)
            return stream, tokens

        generate(engine, greedy(prompt, 1))
        stream, tokens = asyncio.run(scored(greedy(prompt, 0, prompt_logprobs=5)))
        assert tokens == []
        assert stream.cached_tokens == 0
    # In float64: the float32 sum over 201,088 terms is itself wrong by more than the tolerance.
    whole = plain_logits(prompt).double()[:, tiny().vocabulary.row_of].log_softmax(dim=-1)
    records = stream.prompt_logprobs
    assert records[0] is None
    assert len(records) == len(prompt)
    for position in range(1, len(prompt)):
        record, expected = records[position], whole[position - 1]
        actual = expected[prompt[position]]
        assert record.logprob == pytest.approx(float(actual), abs=1e-4)
        assert int((expected > actual + 1e-4).sum()) < record.rank <= int((expected >= actual - 1e-4).sum())
        best = expected.topk(5).values.tolist()
        assert [value for _, value in record.top] == pytest.approx(best, abs=1e-4)
        assert [float(expected[token]) for token, _ in record.top] == pytest.approx(best, abs=1e-4)


def test_logprobs_while_generating_equal_those_of_the_same_ids_as_a_prompt():
    prompt = some_ids(150)
    with running() as engine:

        async def both():
            said = await tokens_of(engine.submit(greedy(prompt, 20, logprobs=3)))
            ids = [*prompt, *(token.token_id for token in said)]
            scored = engine.submit(greedy(ids, 0, prompt_logprobs=3))
            await tokens_of(scored)
            return said, scored.prompt_logprobs[len(prompt) :]

        said, scored = asyncio.run(both())
    for token, record in zip(said, scored, strict=True):
        assert token.logprobs.logprob == pytest.approx(record.logprob, abs=1e-4)
        assert token.logprobs.rank == record.rank == 1
        assert token.logprobs.top[0][0] == token.token_id
        assert len(token.logprobs.top) == 3


def test_embedded_states_are_those_after_the_final_norm():
    prompt = some_ids(600)
    with running() as engine:
        states = asyncio.run(engine.embed(tuple(prompt)))
    assert states.shape == (600, 128)
    assert states.dtype == "float32"
    assert float((torch.from_numpy(states) - plain_states(prompt)).abs().max()) < 1e-4


# -- what is chosen -----------------------------------------------------------------------------


def test_a_seed_decides_what_is_sampled_whoever_shares_the_batch():
    def wish(seed):
        return GenerationRequest(prompt=tuple(some_ids(30)), max_tokens=30, temperature=3.0, seed=seed)

    with running() as engine:
        (alone,) = generate(engine, wish(5))
        together = generate(engine, wish(6), wish(5), greedy(some_ids(90), 30), wish(7))
    assert together[1] == alone
    assert together[0] != alone


def test_a_sequence_ends_at_its_stop_token_and_not_before_min_tokens():
    prompt = some_ids(40)
    with running() as engine:
        (free,) = generate(engine, greedy(prompt, 12))
        stop = free[3]
        first = free.index(stop)

        async def reasons(request):
            tokens = await tokens_of(engine.submit(request))
            return [token.token_id for token in tokens], [token.finish_reason for token in tokens]

        ids, finish = asyncio.run(reasons(greedy(prompt, 12, stop_token_ids=frozenset({stop}))))
        assert ids == free[: first + 1]
        assert finish == [None] * first + ["stop"]

        ids, finish = asyncio.run(
            reasons(greedy(prompt, 12, stop_token_ids=frozenset({stop}), ignore_eos=True))
        )
        assert ids == free
        assert finish == [None] * 11 + ["length"]

        ids, finish = asyncio.run(
            reasons(greedy(prompt, 12, stop_token_ids=frozenset({stop}), min_tokens=first + 2))
        )
        assert len(ids) >= first + 2
        assert stop not in ids[: first + 2]


def test_a_sequence_ends_where_the_context_does():
    with running(max_model_len=64) as engine:
        assert len(generate(engine, greedy(some_ids(60), 100))[0]) == 4
        assert generate(engine, greedy(some_ids(64), 100)) == [[]]


# -- how it is served -----------------------------------------------------------------------------


def test_a_token_leaves_when_it_is_computed():
    with running() as engine:

        async def first():
            stream = engine.submit(greedy(some_ids(10), ENDLESS))
            await anext(stream)
            made, still = engine.stats.generation_tokens, engine.stats.running
            stream.cancel()
            return made, still

        made, still = asyncio.run(first())
        assert still == 1
        assert made < ENDLESS


def test_a_cancelled_sequence_frees_its_slot_and_its_memory():
    with running(max_num_seqs=1) as engine:

        async def main():
            endless = engine.submit(greedy(some_ids(10), ENDLESS))
            await anext(endless)
            waiting = engine.submit(greedy(some_ids(20), 3))
            assert engine.stats.waiting == 1
            endless.cancel()
            endless.cancel()
            rest = await tokens_of(endless)
            answer = await tokens_of(waiting)
            waiting.cancel()
            return rest, answer

        rest, answer = asyncio.run(main())
        assert rest == []
        assert len(answer) == 3
        assert engine.stats.running == 0
        assert engine.stats.waiting == 0


def test_a_sequence_cancelled_while_it_waits_never_runs():
    with running(max_num_seqs=1) as engine:

        async def main():
            endless = engine.submit(greedy(some_ids(10), ENDLESS))
            await anext(endless)
            waiting = engine.submit(greedy(some_ids(20), 3))
            last = engine.submit(greedy(some_ids(30), 2))
            waiting.cancel()
            endless.cancel()
            return await tokens_of(waiting), await tokens_of(last)

        nothing, last = asyncio.run(main())
        assert nothing == []
        assert len(last) == 2
        assert engine.stats.prompt_tokens == 10 + 30


def test_who_comes_first_is_served_first():
    with running(max_num_seqs=1) as engine:

        async def main():
            finished = []

            async def note(name):
                await ids_of(engine, greedy(some_ids(10, seed=name), 4))
                finished.append(name)

            await asyncio.gather(*[note(name) for name in range(5)])
            return finished

        assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_a_long_prompt_does_not_hold_up_those_who_generate():
    with running() as engine:

        async def main():
            talker = engine.submit(greedy(some_ids(10), ENDLESS))
            await anext(talker)
            reader = asyncio.ensure_future(ids_of(engine, greedy(some_ids(4000), 1)))
            heard = 0
            while not reader.done():
                await anext(talker)
                heard += 1
            talker.cancel()
            return heard

        assert asyncio.run(main()) >= 4000 // Limits().max_num_batched_tokens


def test_closing_ends_running_streams_with_an_error_and_leaves_no_thread():
    with running(max_num_seqs=1) as engine:

        async def main():
            streams = [engine.submit(greedy(some_ids(10), ENDLESS)) for _ in range(2)]
            await anext(streams[0])
            engine.close()
            for stream in streams:
                with pytest.raises(ReferenceServerError, match="closed"):
                    await tokens_of(stream)
            with pytest.raises(ReferenceServerError, match="closed"):
                engine.submit(greedy(some_ids(10), 1))

        asyncio.run(main())
        assert "gptoss-engine" not in {thread.name for thread in threading.enumerate()}


def test_a_loop_that_went_away_takes_its_sequences_with_it():
    with running() as engine:

        async def begin():
            await anext(engine.submit(greedy(some_ids(10), ENDLESS)))

        asyncio.run(begin())
        assert generate(engine, greedy(some_ids(20), 3)) == [plain_greedy(some_ids(20), 3)]
        # The step after the one that found the loop closed let the sequence go.
        assert generate(engine, greedy(some_ids(30), 3)) == [plain_greedy(some_ids(30), 3)]
        assert engine.stats.running == 0


def test_a_failing_step_ends_its_own_sequences_only(monkeypatch, caplog):
    with running() as engine:
        compute = engine_module.compute

        def failing(forward, batch):
            if any(len(sequence.request.prompt) == 13 for sequence, _ in batch):
                raise RuntimeError("out of numbers")
            return compute(forward, batch)

        monkeypatch.setattr(engine_module, "compute", failing)
        with pytest.raises(RuntimeError, match="out of numbers"):
            generate(engine, greedy(some_ids(13), 2))
        assert len(generate(engine, greedy(some_ids(14), 2))[0]) == 2
    assert "a step failed" in caplog.text


@pytest.mark.parametrize(
    ("prompt", "words"),
    [((), "0 tokens"), ((1,) * 65, "65 tokens"), ((-1,), "id -1"), ((3, 201_088), "id 201088")],
)
def test_a_prompt_that_cannot_be_read_is_refused(prompt, words):
    with running(max_model_len=64) as engine:

        async def submit():
            engine.submit(greedy(prompt, 1))

        with pytest.raises(ValueError, match=words):
            asyncio.run(submit())


# -- how it is made -----------------------------------------------------------------------------


def test_an_engine_is_made_from_a_name_and_a_few_wishes():
    engine = create_engine(
        model="tiny", dtype="bfloat16", max_model_len=512, limits=Limits(2), defect="no-yarn"
    )
    try:
        assert engine.max_model_len == 512
        assert engine.vocab_size == 201_088
        assert len(generate(engine, greedy(some_ids(20), 4))[0]) == 4
    finally:
        engine.close()


def test_more_positions_than_the_model_has_are_refused():
    with pytest.raises(ReferenceServerError, match="131072"):
        create_engine(model="tiny", max_model_len=131_073)


def test_more_tokens_than_the_kv_cache_holds_are_refused():
    with pytest.raises(UsageError, match="--max-model-len 1024 is more than the 512 tokens"):
        create_engine(model="tiny", max_model_len=1024, limits=Limits(kv_cache_tokens=512))


def test_an_unknown_defect_is_refused_before_loading():
    with pytest.raises(UsageError, match="unknown"):
        create_engine(model="nowhere", defect="none-such")
