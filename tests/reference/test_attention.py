from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_transformers import fed, plain, plain_logits, some_ids, tiny

from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.reference import attention, checkpoint
from pytest_gptoss.reference.forward import Forward, Piece

TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


def most_different(one: torch.Tensor, other: torch.Tensor) -> float:
    assert one.shape == other.shape
    return float((one - other).abs().max())


@settings(deadline=None, max_examples=60)
@given(count=st.integers(1, 12), before=st.integers(0, 20), window=st.none() | st.integers(1, 16))
def test_a_query_sees_itself_and_what_its_window_holds(count, before, window):
    band = attention.band(count, before, window, torch.float32)
    for query in range(count):
        for key in range(before + count):
            position = before + query
            seen = key <= position and (window is None or key > position - window)
            assert band[query, key] == (0 if seen else -torch.inf)


@pytest.mark.parametrize("pieces", [(400,), (1,) * 40, (130, 1, 1, 1, 200, 1, 1), (16, 240, 5, 300)])
def test_any_way_of_feeding_a_sequence_gives_the_logits_of_plain_transformers(pieces):
    ids = some_ids(sum(pieces))
    forward = Forward(tiny())
    cache = forward.new_cache()
    logits = []
    for count in pieces:
        logits.append(fed(forward, cache, ids[cache.length : cache.length + count]))
    assert most_different(torch.cat(logits), plain_logits(ids)) < TOLERANCE


def test_sequences_of_all_lengths_share_a_step_without_seeing_each_other():
    lengths = (3, 127, 128, 129, 255, 256, 400, 700)
    sequences = [some_ids(length + 20, seed=length) for length in lengths]
    forward = Forward(tiny())
    caches = [forward.new_cache() for _ in sequences]
    found: list[list[torch.Tensor]] = [[] for _ in sequences]

    def step(counts):
        with torch.inference_mode():
            pieces = [
                Piece(cache, ids[cache.length : cache.length + count])
                for cache, ids, count in zip(caches, sequences, counts, strict=True)
                if count
            ]
            states = iter(forward.hidden(pieces))
            for logits, count in zip(found, counts, strict=True):
                if count:
                    own = next(states)
                    logits.append(forward.logits(own, torch.zeros(count, dtype=torch.int64)))

    step([2, 0, 128, 100, 255, 0, 256, 512])
    step([1, 60, 0, 29, 0, 256, 144, 188])
    step([0, 67, 0, 0, 0, 0, 0, 0])
    for turn in range(20):
        step([1 if (turn + index) % 5 else 0 for index in range(len(lengths))])
    for ids, cache, logits in zip(sequences, caches, found, strict=True):
        computed = torch.cat(logits)
        assert len(computed) == cache.length
        assert most_different(computed, plain_logits(ids[: cache.length])) < TOLERANCE


def test_a_sequence_is_untouched_when_a_neighbour_leaves_and_another_comes():
    forward = Forward(tiny())
    caches = [forward.new_cache() for _ in range(3)]
    sequences = [some_ids(60, seed=seed) for seed in range(4)]
    for cache, ids in zip(caches, sequences, strict=False):
        fed(forward, cache, ids[:50])
    caches[0].release()
    newcomer = forward.new_cache()
    fed(forward, newcomer, sequences[3][:50])
    caches[1].release()
    for cache, ids in ((caches[2], sequences[2]), (newcomer, sequences[3])):
        assert most_different(fed(forward, cache, ids[50:]), plain_logits(ids)[50:]) < TOLERANCE


def test_memory_is_given_back_when_all_sequences_are_gone():
    forward = Forward(tiny())
    caches = [forward.new_cache() for _ in range(5)]
    for cache in caches:
        fed(forward, cache, some_ids(300))
    shape = forward.pool.shape
    numbers_per_token = shape.layers * 2 * shape.heads * shape.head_dim  # keys and values
    assert forward.pool.held_bytes >= 5 * 300 * numbers_per_token * shape.dtype.itemsize
    for cache in caches:
        cache.release()
        cache.release()
    assert forward.pool.held_bytes == 0


def test_scores_stay_bounded_by_taking_fewer_queries_at_once(monkeypatch):
    monkeypatch.setattr(attention, "_MOST_SCORES", 4 * 300 * 7)
    forward = Forward(tiny())
    ids = some_ids(300)
    assert most_different(fed(forward, forward.new_cache(), ids), plain_logits(ids)) < TOLERANCE


def test_a_model_too_large_for_the_small_forms_computes_the_same(monkeypatch):
    monkeypatch.setattr(checkpoint, "_SMALL_BYTES", 0)
    loaded = checkpoint.load("tiny", "float32")
    assert not loaded.is_small
    forward = Forward(loaded)
    ids = some_ids(200)
    cache = forward.new_cache()
    logits = torch.cat([fed(forward, cache, ids[:190]), *(fed(forward, cache, [one]) for one in ids[190:])])
    assert most_different(logits, plain_logits(ids)) < TOLERANCE


@pytest.mark.parametrize("small_bytes", [0, 2**29])
def test_bfloat16_errs_no_more_than_transformers_own_bfloat16(monkeypatch, small_bytes):
    monkeypatch.setattr(checkpoint, "_SMALL_BYTES", small_bytes)
    loaded = checkpoint.load("tiny", "bfloat16")
    forward = Forward(loaded)
    cache = forward.new_cache()
    ids = some_ids(300)
    exact = plain_logits(ids).log_softmax(dim=-1)
    theirs = plain_logits(ids, plain("bfloat16")).log_softmax(dim=-1)
    prompt, rest = fed(forward, cache, ids[:250]), [fed(forward, cache, [one]) for one in ids[250:]]
    ours = torch.cat([prompt, *rest]).log_softmax(dim=-1)
    # The median: the mean is ruled by tokens that a rounding sends to another expert, on any side.
    error = (ours - exact).abs().median()
    assert 0 < error < 1.2 * (theirs - exact).abs().median()


def test_a_forward_pass_is_given_up_when_the_engine_stops():
    forward = Forward(tiny())
    forward.stopping.set()
    with pytest.raises(ReferenceServerError, match="closing"):
        fed(forward, forward.new_cache(), some_ids(3))


def test_without_the_stored_past_the_logits_would_differ():
    ids = some_ids(100)
    forward = Forward(tiny())
    whole = fed(forward, forward.new_cache(), ids)
    assert most_different(fed(forward, forward.new_cache(), ids[50:]), whole[50:]) > 0.1
