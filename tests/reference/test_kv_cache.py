from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gptoss.reference.kv_cache import CachePool, CacheShape, KeyValueCache

SHAPE = CacheShape(layers=1, heads=1, head_dim=2, dtype=torch.float32)
BYTES_PER_TOKEN = 1 * 2 * 1 * 2 * 4
"""Layers x (key and value) x heads x head_dim x bytes of a number."""


def append(cache: KeyValueCache, numbers: list[float]) -> None:
    cache.reserve(cache.length + len(numbers))
    rows = torch.tensor(numbers).view(1, -1, 1).expand(1, len(numbers), 2)
    cache.write(0, cache.length, rows, -rows)
    cache.length += len(numbers)


def held(cache: KeyValueCache) -> list[float]:
    keys, values = cache.read(0, 0, cache.length)
    assert torch.equal(keys[0].mT, -values[0])
    return values[0, :, 0].neg().tolist()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["append", "release"]), st.integers(0, 5), st.integers(1, 400)), max_size=30
    )
)
def test_every_sequence_keeps_its_own_numbers_whoever_comes_grows_and_goes(events):
    pool = CachePool(SHAPE)
    caches: dict[int, KeyValueCache] = {}
    expected: dict[int, list[float]] = {}
    for turn, (event, name, count) in enumerate(events):
        if event == "append":
            cache = caches.setdefault(name, KeyValueCache(pool))
            numbers = [float(turn * 1000 + index) for index in range(count)]
            append(cache, numbers)
            expected.setdefault(name, []).extend(numbers)
        elif name in caches:
            caches.pop(name).release()
            expected.pop(name)
        for each, cache in caches.items():
            assert held(cache) == expected[each]
    for cache in caches.values():
        cache.release()
    assert pool.held_bytes == 0


def test_memory_follows_what_is_held_not_the_longest_sequence():
    pool = CachePool(SHAPE)
    long, *short = [KeyValueCache(pool) for _ in range(5)]
    append(long, [0.0] * 5000)
    for cache in short:
        append(cache, [0.0] * 10)
    assert pool.held_bytes <= (2 * 5000 + 2 * 4 * 256) * BYTES_PER_TOKEN


def test_a_shifted_cache_stores_values_one_row_late_and_keys_where_they_belong():
    cache = KeyValueCache(CachePool(SHAPE, shift_from=4))
    append(cache, [1.0, 2.0])
    append(cache, [3.0, 4.0, 5.0, 6.0])
    append(cache, [7.0])
    append(cache, [8.0] * 300)
    keys, values = cache.read(0, 0, 9)
    assert keys[0, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert values[0, :, 0].neg().tolist() == [1, 2, 3, 4, 0, 5, 6, 7, 8]


def test_a_cache_without_room_says_so():
    with pytest.raises(RuntimeError, match="reserve"):
        KeyValueCache(CachePool(SHAPE)).read(0, 0, 1)
