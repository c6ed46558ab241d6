"""Who computes what in a step, who joins, and who gives way where the KV cache is full."""

from __future__ import annotations

import asyncio

import pytest
from plain_transformers import tiny

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.reference.defects import Faults
from pytest_gptoss.reference.forward import Forward
from pytest_gptoss.reference.generation import GenerationRequest
from pytest_gptoss.reference.limits import Limits
from pytest_gptoss.reference.prefix_cache import PrefixCache
from pytest_gptoss.reference.scheduler import Scheduler
from pytest_gptoss.reference.sequence import Sequence
from pytest_gptoss.reference.stream import TokenStream


class Desk:
    """A scheduler whose steps only count: every token is computed at once and answered with the id 7."""

    def __init__(self, prefix_cache=None, **limits):
        self.forward = Forward(tiny())
        self.scheduler = Scheduler(Limits(**limits), prefix_cache, Faults())

    def ask(self, length, **wishes):
        request = GenerationRequest(prompt=(5,) * length, max_tokens=1000, **wishes)

        async def stream():
            return TokenStream(on_cancel=lambda: None)

        sequence = Sequence(
            request,
            asyncio.run(stream()),
            cache=self.forward.new_cache(),
            vocabulary=self.forward.loaded.vocabulary,
            max_model_len=131_072,
        )
        self.scheduler.waiting.append(sequence)
        return sequence

    def step(self):
        """Tokens that each running sequence computes, in the order of joining."""
        batch = self.scheduler.plan()
        counts = {id(sequence): len(piece.token_ids) for sequence, piece in batch}
        for sequence, piece in batch:
            piece.cache.reserve(piece.cache.length + len(piece.token_ids))
            piece.cache.length += len(piece.token_ids)
            if not sequence.in_prompt:
                sequence.output.append(7)
        return [counts.get(id(sequence), 0) for sequence in self.scheduler.running]


# -- the budget of a step -----------------------------------------------------------------------


def test_a_prompt_that_is_alone_is_cut_at_multiples_of_the_budget():
    desk = Desk(max_num_batched_tokens=100)
    desk.ask(250)
    assert [desk.step() for _ in range(4)] == [[100], [100], [50], [1]]


def test_those_who_generate_take_one_each_and_prompts_share_the_rest_oldest_first():
    desk = Desk(max_num_batched_tokens=100)
    desk.ask(10)
    desk.ask(10)
    desk.step()
    desk.ask(150)
    desk.ask(20)
    assert desk.step() == [1, 1, 98, 0]
    assert desk.step() == [1, 1, 52, 20]
    assert desk.step() == [1, 1, 1, 1]


def test_a_budget_that_decoding_uses_up_leaves_prompts_waiting():
    desk = Desk(max_num_batched_tokens=4, max_num_seqs=4)
    for _ in range(4):
        desk.ask(1)
    assert [desk.step() for _ in range(2)] == [[1, 1, 1, 1]] * 2


# -- the bound of the KV cache --------------------------------------------------------------------


def test_the_last_to_join_gives_way_and_is_the_first_to_join_again():
    desk = Desk(kv_cache_tokens=64)
    first, second = desk.ask(31), desk.ask(31)
    assert desk.step() == [31, 31]
    assert desk.step() == [1, 1]
    third = desk.ask(1)
    assert desk.scheduler.kv_cache_usage == 1.0
    assert desk.step() == [1]  # a 33rd token needs a third block
    assert desk.scheduler.running == [first]
    assert list(desk.scheduler.waiting) == [second, third]
    assert desk.scheduler.preemptions == 1
    assert second.prefill == (*second.request.prompt, 7, 7)
    assert desk.step() == [1]
    desk.scheduler.running.remove(first)
    assert desk.step() == [33, 1]
    assert desk.scheduler.running == [second, third]
    assert second.output == [7, 7, 7]


def test_a_sequence_waits_until_its_first_piece_has_room():
    desk = Desk(kv_cache_tokens=160, max_num_batched_tokens=64)
    desk.ask(100)
    later = desk.ask(100)
    assert desk.step() == [64]
    assert desk.step() == [36, 28]
    # Seven blocks of ten are taken by the first, so the second may have three.
    assert desk.step() == [1]
    assert (later.cache.length, later.cache.pen) == (0, None)
    assert desk.scheduler.preemptions == 1
    assert not desk.scheduler.can_admit


def test_nobody_overtakes_the_first_in_line():
    desk = Desk(kv_cache_tokens=64)
    desk.ask(40)
    desk.ask(40)
    desk.ask(5)
    assert desk.step() == [40]
    assert len(desk.scheduler.waiting) == 2


def test_a_prompt_that_is_preempted_begins_again_with_empty_scores():
    desk = Desk(kv_cache_tokens=96, max_num_batched_tokens=32)
    desk.ask(32)
    desk.step()
    late = desk.ask(60, prompt_logprobs=0)
    assert desk.step() == [1, 31]
    late.prompt_scores += [None] * 31
    assert desk.step() == [1]
    assert late.prompt_scores == [None]
    assert late.prefill == late.request.prompt


def test_without_a_bound_nobody_is_preempted_and_nothing_is_used():
    desk = Desk()
    for _ in range(5):
        desk.ask(1000)
    for _ in range(12):
        desk.step()
    assert desk.scheduler.preemptions == 0
    assert desk.scheduler.kv_cache_usage == 0.0


def test_a_known_prefix_counts_as_held():
    prefixes = PrefixCache(2**24)
    desk = Desk(prefixes, kv_cache_tokens=96, max_num_batched_tokens=16)
    known = desk.ask(65)
    for _ in range(5):
        desk.step()
    prefixes.keep(known.cache, known.request.prompt, None)
    other = desk.ask(65)
    desk.step()
    assert list(desk.scheduler.waiting) == [other]
    desk.scheduler.running.remove(known)
    known.release()
    assert desk.step() == [1]
    assert (other.reused, desk.scheduler.prefix_hits) == (64, 64)


# -- the limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "parts"),
    [
        ({"max_num_batched_tokens": 15}, ["--max-num-batched-tokens 15", "--max-num-seqs 16"]),
        ({"kv_cache_tokens": 15}, ["--kv-cache-tokens 15", "16 tokens"]),
    ],
)
def test_limits_that_cannot_be_kept_are_refused(limits, parts):
    with pytest.raises(UsageError) as refused:
        Limits(**limits)
    assert all(part in str(refused.value) for part in parts)


def test_no_sequence_may_be_longer_than_the_kv_cache():
    assert Limits().max_model_len(None, 4096) == 4096
    assert Limits().max_model_len(512, 4096) == 512
    assert Limits(kv_cache_tokens=1000).max_model_len(None, 4096) == 992
    assert Limits(kv_cache_tokens=1000).max_model_len(992, 4096) == 992
    assert Limits(kv_cache_tokens=10_000).max_model_len(None, 4096) == 4096
    with pytest.raises(UsageError, match="--max-model-len 993 is more than the 992 tokens"):
        Limits(kv_cache_tokens=1000).max_model_len(993, 4096)
