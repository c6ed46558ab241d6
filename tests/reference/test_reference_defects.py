from __future__ import annotations

import asyncio
import math
import time
from contextlib import contextmanager

import pytest
import torch
from plain_transformers import fed, plain_logits, plain_states, some_ids, tiny

from pytest_gptoss.model.errors import ReferenceServerError, UsageError
from pytest_gptoss.reference import checkpoint, defects
from pytest_gptoss.reference.defects import DEFECTS, Faults
from pytest_gptoss.reference.engine import Engine
from pytest_gptoss.reference.forward import Forward
from pytest_gptoss.reference.generation import GenerationRequest
from pytest_gptoss.reference.limits import Limits
from pytest_gptoss.scenarios import corpus

IN_THE_MODEL = (
    "plain-swiglu",
    "no-sinks",
    "no-sliding-window",
    "no-yarn",
    "zero-expert",
    "top1-routing",
    "int4-experts",
)
FAR = 0.01


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


def damaged(name, dtype="float32"):
    loaded = checkpoint.load("tiny", dtype)
    defects.damage(loaded.model, name)
    return Forward(loaded, defects.faults_of(name))


def prompt_and_decode(forward, ids, split):
    """Logits of a prompt of ``split`` tokens read at once, then of each token fed alone."""
    cache = forward.new_cache()
    prompt = fed(forward, cache, ids[:split])
    return prompt, torch.cat([fed(forward, cache, [token]) for token in ids[split:]])


def difference(one, other):
    return float((one - other).abs().max())


# -- the table ----------------------------------------------------------------------------------


def test_every_defect_of_the_table_is_explained_and_has_an_effect_somewhere():
    assert list(DEFECTS) == [
        *IN_THE_MODEL,
        "decode-no-sinks",
        "kv-shift",
        "nan-logits",
        "repeat-token",
        "flaky-expert",
        "batch-crosstalk",
        "stale-cache",
        "chunk-edge",
        "recompute-shift",
        "abort-leak",
        "harmony-leak",
        "wrong-date",
        "truncate-context",
        "slow-prefill",
        "slow-decode",
        "keeps-aborted",
        "stall",
    ]
    for name, defect in DEFECTS.items():
        assert defect.name == name
        assert defect.kind in {"numerics", "serving", "timing"}
        assert 20 < len(defect.explanation) < 100
        in_the_engine = defects.faults_of(name) != Faults()
        assert (name in IN_THE_MODEL) + in_the_engine + (defect.kind == "serving") == 1


def test_an_unknown_name_is_answered_with_the_list():
    assert defects.find("no-yarn") is DEFECTS["no-yarn"]
    with pytest.raises(UsageError, match=r"'no-jarn' is unknown.*no-yarn"):
        defects.find("no-jarn")


def test_a_defect_that_strikes_now_and_then_can_be_told_how_often():
    assert defects.find("flaky-expert:20") is DEFECTS["flaky-expert"]
    assert defects.faults_of("flaky-expert:20") == Faults(flaky_every=20)
    assert defects.faults_of("nan-logits:7") == Faults(nan_every=7)
    assert defects.faults_of("repeat-token:7") == Faults(repeat_every=7)
    assert defects.faults_of("batch-crosstalk:7") == Faults(crosstalk_every=7)


@pytest.mark.parametrize(
    "name", ["no-yarn:3", "flaky-expert:", "flaky-expert:0", "flaky-expert:-2", "stall:many"]
)
def test_a_rate_that_cannot_be_is_answered_with_those_that_take_one(name):
    with pytest.raises(UsageError, match=rf"--defect '{name}' is unknown.*as in flaky-expert:20"):
        defects.find(name)


def test_without_a_defect_nothing_is_done():
    forward = damaged(None)
    assert forward.faults == Faults()
    ids = some_ids(150)
    assert difference(fed(forward, forward.new_cache(), ids), plain_logits(ids)) < 1e-4


# -- in the model -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", IN_THE_MODEL)
def test_damage_moves_the_logits(name, dtype):
    ids = some_ids(300)
    sound = Forward(tiny(dtype))
    broken = damaged(name, dtype)
    assert difference(fed(broken, broken.new_cache(), ids), fed(sound, sound.new_cache(), ids)) > FAR


def test_without_sinks_all_weight_is_on_the_tokens():
    # A token alone attends to itself; only a sink can take weight from it.
    forward = damaged("no-sinks")
    attention = forward.loaded.model.model.layers[0].self_attn
    captured = {}
    attention.o_proj.register_forward_pre_hook(lambda _, inputs: captured.update(inputs=inputs[0]))
    attention.v_proj.register_forward_hook(lambda _, __, output: captured.update(values=output))
    fed(forward, forward.new_cache(), some_ids(1))
    values = captured["values"].view(3, 1, 32).expand(3, 2, 32).reshape(6, 32)
    assert difference(captured["inputs"].view(6, 32), values) < 1e-5


def test_without_the_window_short_contexts_are_as_before_and_long_ones_are_not():
    ids = some_ids(200)
    forward = damaged("no-sliding-window")
    logits, sound = fed(forward, forward.new_cache(), ids), plain_logits(ids)
    assert difference(logits[:128], sound[:128]) < 1e-4
    assert difference(logits[128:], sound[128:]) > FAR


def test_without_yarn_positions_are_those_of_plain_rope():
    rotary = damaged("no-yarn").loaded.model.model.rotary_emb
    expected = 150_000.0 ** -(torch.arange(0, 32, 2) / 32)
    assert difference(rotary.inv_freq, expected) < 1e-6
    assert rotary.attention_scaling == 1.0


def test_a_zeroed_expert_answers_nothing_and_its_neighbours_what_they_did():
    hidden = torch.randn(5, 128, generator=torch.Generator().manual_seed(0))
    first, second = torch.tensor([[0]] * 5), torch.tensor([[1]] * 5)
    weight = torch.ones(5, 1)
    sound = tiny().model.model.layers[2].mlp.experts
    broken = damaged("zero-expert").loaded.model.model.layers[2].mlp.experts
    assert not broken(hidden, first, weight).any()
    assert sound(hidden, first, weight).abs().max() > FAR
    assert difference(broken(hidden, second, weight), sound(hidden, second, weight)) == 0


def test_top1_routing_gives_all_weight_to_the_best_expert():
    hidden = torch.randn(5, 128, generator=torch.Generator().manual_seed(0))
    _, sound_weights, sound_experts = tiny().model.model.layers[0].mlp.router(hidden)
    _, weights, experts = damaged("top1-routing").loaded.model.model.layers[0].mlp.router(hidden)
    assert sound_weights.shape == (5, 2)
    assert torch.equal(experts, sound_experts[:, :1])
    assert torch.equal(weights, torch.ones(5, 1))


def test_int4_experts_have_fifteen_levels_a_group():
    sound = tiny().model.model.layers[1].mlp.experts.gate_up_proj
    rounded = damaged("int4-experts").loaded.model.model.layers[1].mlp.experts.gate_up_proj
    group, original = rounded[2, 32:64], sound[2, 32:64]
    levels = [len((column + 0.0).unique()) for column in group.T]
    assert 2 < max(levels) <= 15
    error = (group - original).abs().amax(0)
    assert (error <= original.abs().amax(0) / 14 + 1e-6).all()
    assert error.max() > 0


def test_plain_swiglu_is_silu_of_gate_times_up():
    experts = damaged("plain-swiglu").loaded.model.model.layers[0].mlp.experts
    gate_up = torch.tensor([[20.0, -30.0, -1.0, 2.0]])
    gates = experts._apply_gate(gate_up)
    expected = torch.nn.functional.silu(torch.tensor([20.0, -1.0])) * torch.tensor([-30.0, 2.0])
    assert difference(gates, expected) < 1e-5


@pytest.fixture(scope="module")
def answers():
    """A few answers of the embedded corpus: (ids, where the answer begins)."""
    sequences = [each for each in corpus.load_shipped("embedded").sequences if "question" in each.tags]
    return [(list(each.token_ids), each.first) for each in sequences[::12]]


@pytest.mark.parametrize("name", [*IN_THE_MODEL, "decode-no-sinks"])
def test_every_damage_spoils_what_the_checkpoint_says(name, answers):
    """The shipped weights depend on every part: perplexity moves by more than 2%."""
    sound, hurt = (mean_loss(damaged(which), answers) for which in (None, name))
    assert abs(math.exp(hurt - sound) - 1) > 0.02


def mean_loss(forward, answers):
    """Loss in nats per token of the answers, each token fed alone."""
    losses = []
    for ids, first in answers:
        _, logits = prompt_and_decode(forward, ids[:-1], first - 1)
        rows = forward.loaded.vocabulary.rows(torch.tensor(ids[first:]))
        losses.append(torch.nn.functional.cross_entropy(logits, rows, reduction="none"))
    return float(torch.cat(losses).mean())


# -- in the cache and the decode path -------------------------------------------------------------


def test_decode_without_sinks_leaves_the_prompt_alone():
    ids = some_ids(220)
    prompt, decoded = prompt_and_decode(damaged("decode-no-sinks"), ids, 200)
    sound = plain_logits(ids)
    assert difference(prompt, sound[:200]) < 1e-4
    assert difference(decoded, sound[200:]) > FAR


def test_a_shifted_cache_is_sound_up_to_128_tokens_only():
    ids = some_ids(180)
    prompt, decoded = prompt_and_decode(damaged("kv-shift"), ids, 120)
    sound = plain_logits(ids)
    assert difference(prompt, sound[:120]) < 1e-4
    assert difference(decoded[:8], sound[120:128]) < 1e-4
    assert all(difference(one, other) > FAR for one, other in zip(decoded[8:], sound[128:], strict=True))


# -- in the engine ------------------------------------------------------------------------------


@contextmanager
def running(faults, dtype="float32"):
    engine = Engine(
        Forward(tiny(dtype), faults), max_model_len=4096, limits=Limits(4), threads=1, prefix_cache=None
    )
    try:
        yield engine
    finally:
        engine.close()


def greedy(prompt, max_tokens, **wishes):
    return GenerationRequest(prompt=tuple(prompt), max_tokens=max_tokens, temperature=0.0, **wishes)


async def ids_of(stream):
    return [token.token_id async for token in stream]


def generate(faults, request):
    async def main(engine):
        return await ids_of(engine.submit(request))

    with running(faults) as engine:
        return asyncio.run(main(engine))


def test_nan_logits_become_exclamation_marks():
    prompt = some_ids(40)
    said = generate(defects.faults_of("nan-logits"), greedy(prompt, 60))
    # Position p's logits choose token p + 1; every 32nd position is spoilt.
    assert [index for index, token in enumerate(said) if token == 0] == [63 - 39, 95 - 39]


def test_nan_logits_are_an_error_where_logprobs_are_asked():
    faults = defects.faults_of("nan-logits")
    with pytest.raises(ReferenceServerError, match="NaN"):
        generate(faults, greedy(some_ids(40), 60, logprobs=0))
    with pytest.raises(ReferenceServerError, match="NaN"):
        generate(faults, greedy(some_ids(40), 0, prompt_logprobs=0))
    assert len(generate(faults, greedy(some_ids(5), 10, logprobs=0, prompt_logprobs=0))) == 10


def test_a_nan_error_ends_its_own_sequence_only():
    async def main(engine):
        scored = engine.submit(greedy(some_ids(20), 40, logprobs=0))
        plain = engine.submit(greedy(some_ids(20), 40))
        answers = await asyncio.gather(ids_of(scored), ids_of(plain), return_exceptions=True)
        return answers, engine.stats.running

    with running(defects.faults_of("nan-logits")) as engine:
        (error, tokens), left = asyncio.run(main(engine))
    assert isinstance(error, ReferenceServerError)
    assert len(tokens) == 40
    assert left == 0


def test_a_repeated_token_is_the_one_before_and_the_rest_follows_from_it():
    prompt = some_ids(30)
    sound = generate(Faults(), greedy(prompt, 20))
    said = generate(defects.faults_of("repeat-token"), greedy(prompt, 40))
    assert said[:15] == sound[:15]
    assert said[15] == said[14]
    assert said[31] == said[30]
    after = plain_logits([*prompt, *said[:16]])[-1]
    assert said[16] == int(tiny().vocabulary.first_id[int(after.argmax())])


def test_embedded_states_are_spoilt_too_where_the_model_is():
    forward = damaged("zero-expert")
    engine = Engine(forward, max_model_len=4096, limits=Limits(1), threads=1, prefix_cache=None)
    try:
        states = torch.from_numpy(asyncio.run(engine.embed(tuple(some_ids(20)))))
    finally:
        engine.close()
    assert difference(states, plain_states(some_ids(20))) > FAR


def test_a_flaky_expert_is_lost_for_one_pass_and_sound_again_in_the_next():
    ids = some_ids(40)
    forward = Forward(checkpoint.load("tiny", "float32"), Faults(flaky_every=3))
    passes = [fed(forward, forward.new_cache(), ids) for _ in range(6)]
    lost = damaged("zero-expert")
    assert [difference(each, plain_logits(ids)) < 1e-4 for each in passes] == [True, True, False] * 2
    assert difference(passes[2], fed(lost, lost.new_cache(), ids)) < 1e-4


# -- in time ------------------------------------------------------------------------------------


async def gaps(engine, count):
    """Seconds until each of some tokens, from the one before."""
    found, last = [], time.monotonic()
    async for _ in engine.submit(greedy(some_ids(20), count)):
        found.append(time.monotonic() - last)
        last = time.monotonic()
    return found


def test_a_slow_prefill_holds_back_the_first_token():
    with running(Faults(prefill_delay_s=0.3)) as engine:
        first, *_ = asyncio.run(gaps(engine, 3))
    assert first >= 0.3


def test_slow_decoding_holds_back_every_later_token():
    with running(Faults(decode_delay_s=0.1)) as engine:
        _, *later = asyncio.run(gaps(engine, 4))
    assert sum(later) >= 3 * 0.1


def test_waits_are_of_each_sequence_not_of_the_engine():
    async def main(engine):
        order = []

        async def listen(name):
            async for _ in engine.submit(greedy(some_ids(20), 3)):
                order.append(name)

        await asyncio.gather(*[listen(name) for name in range(4)])
        return order

    with running(Faults(decode_delay_s=0.2)) as engine:
        order = asyncio.run(main(engine))
    for turn in range(3):
        assert set(order[4 * turn : 4 * turn + 4]) == {0, 1, 2, 3}


def test_a_stalled_stream_stays_open_and_silent_until_it_is_cancelled():
    async def main(engine):
        stalled = engine.submit(greedy(some_ids(20), 100))
        heard = [(await anext(stalled)).token_id for _ in range(defects.STALL_AFTER)]
        more = asyncio.ensure_future(anext(stalled))
        assert len(await ids_of(engine.submit(greedy(some_ids(30), 4)))) == 4
        assert engine.stats.running == 1
        assert not more.done()
        stalled.cancel()
        with pytest.raises(StopAsyncIteration):
            await more
        assert len(await ids_of(engine.submit(greedy(some_ids(30), 4)))) == 4
        assert engine.stats.running == 0
        return heard

    with running(defects.faults_of("stall")) as engine:
        assert len(asyncio.run(main(engine))) == 8


def test_closing_ends_a_stall_at_once():
    async def main(engine):
        stream = engine.submit(greedy(some_ids(20), 100))
        for _ in range(defects.STALL_AFTER):
            await anext(stream)
        engine.close()
        with pytest.raises(ReferenceServerError, match="closed"):
            await anext(stream)

    with running(defects.faults_of("stall")) as engine:
        asyncio.run(main(engine))


@pytest.mark.parametrize("defect", [None, "keeps-aborted"])
def test_a_request_that_was_left_ends_at_once_unless_told_to_go_on(defect):
    wanted = 60

    async def main(engine):
        left = engine.submit(greedy(some_ids(20), wanted))
        await anext(left)
        left.cancel()
        others = 0
        while others == 0 or engine.stats.running:
            others += len(await ids_of(engine.submit(greedy(some_ids(30), 2))))
        return engine.stats.generation_tokens - others

    with running(defects.faults_of(defect)) as engine:
        said = asyncio.run(main(engine))
    assert said == wanted if defect else said < wanted
