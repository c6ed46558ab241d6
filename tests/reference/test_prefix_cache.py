from __future__ import annotations

import pytest
import torch

from pytest_gptoss.reference.kv_cache import CachePool, CacheShape, KeyValueCache
from pytest_gptoss.reference.prefix_cache import BLOCK, PrefixCache

SHAPE = CacheShape(layers=2, heads=1, head_dim=4, dtype=torch.float32)
PROMPT = tuple(range(100, 100 + 3 * BLOCK + 5))
PLENTY = 1_000_000


def finished(pool: CachePool, tokens: int = len(PROMPT)) -> KeyValueCache:
    """A cache in which every token's numbers are its position."""
    cache = KeyValueCache(pool)
    cache.reserve(tokens)
    positions = torch.arange(tokens, dtype=torch.float32).view(1, tokens, 1).expand(1, tokens, 4)
    for layer in range(SHAPE.layers):
        cache.write(layer, 0, positions, -positions)
    cache.length = tokens
    return cache


@pytest.fixture
def pool():
    return CachePool(SHAPE)


@pytest.fixture
def known(pool):
    prefixes = PrefixCache(PLENTY)
    prefixes.keep(finished(pool), PROMPT, "salt")
    return prefixes


def test_an_equal_beginning_is_found_in_whole_blocks(pool, known):
    cache = KeyValueCache(pool)
    assert known.fill(cache, (*PROMPT[: 2 * BLOCK], 7, 7, 7), "salt") == 2 * BLOCK
    assert cache.length == 2 * BLOCK
    keys, values = cache.read(1, 0, cache.length)
    assert keys[0, 0].tolist() == list(range(2 * BLOCK))
    assert values[0, :, 3].tolist() == [-number for number in range(2 * BLOCK)]


def test_the_last_token_is_always_computed(pool, known):
    assert known.fill(KeyValueCache(pool), PROMPT[: 2 * BLOCK], "salt") == BLOCK


@pytest.mark.parametrize("salt", [None, "other", "None"])
def test_another_salt_finds_nothing(pool, known, salt):
    assert known.fill(KeyValueCache(pool), PROMPT, salt) == 0


def test_another_beginning_finds_nothing_even_where_the_rest_is_equal(pool, known):
    assert known.fill(KeyValueCache(pool), (1, *PROMPT[1:]), "salt") == 0


def test_a_copy_is_kept_not_the_running_sequence(pool):
    prefixes = PrefixCache(PLENTY)
    cache = finished(pool)
    prefixes.keep(cache, PROMPT, None)
    cache.write(0, 0, torch.full((1, 5, 4), 99.0), torch.full((1, 5, 4), 99.0))
    cache.release()
    other = KeyValueCache(pool)
    prefixes.fill(other, PROMPT, None)
    assert other.read(0, 0, 5)[0][0, 0].tolist() == [0, 1, 2, 3, 4]


def test_memory_is_bounded_and_the_end_of_a_prompt_goes_first(pool):
    block_bytes = BLOCK * 2 * 2 * 1 * 4 * 4  # layers x (key and value) x heads x head_dim x bytes of a number
    prefixes = PrefixCache(2 * block_bytes)
    prefixes.keep(finished(pool), PROMPT, None)
    assert prefixes.held_bytes == 2 * block_bytes
    assert prefixes.fill(KeyValueCache(pool), PROMPT, None) == 2 * BLOCK
    newer = tuple(token + 1000 for token in PROMPT[: BLOCK + 1])
    prefixes.keep(finished(pool, len(newer)), newer, None)
    assert prefixes.fill(KeyValueCache(pool), newer, None) == BLOCK
    assert prefixes.fill(KeyValueCache(pool), PROMPT, None) == BLOCK
