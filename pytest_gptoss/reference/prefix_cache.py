"""Keys and values of prompts answered before, found again by their tokens, 16 at a time."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile

import numpy as np
import torch

from pytest_gptoss.reference.kv_cache import Block, KeyValueCache
from pytest_gptoss.reference.limits import BLOCK

__all__ = ["BLOCK", "PrefixCache"]


class PrefixCache:
    """Blocks of 16 tokens under a key that covers the salt and all tokens up to their end.

    Holds at most ``limit_bytes``; the least recently used go first, the end of a prompt before its
    beginning, without which the end cannot be reached.

    ``stale_from`` is the stale-cache defect: after so many tokens a key is that of the place alone, so that
    prompts which begin with the same so many tokens under the same salt get each other's later blocks.
    """

    def __init__(self, limit_bytes: int, *, stale_from: int | None = None) -> None:
        self._limit = limit_bytes
        self._stale_from = stale_from
        self.held_bytes = 0
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()

    def fill(self, cache: KeyValueCache, prompt: Sequence[int], salt: str | None) -> int:
        """Begin an empty ``cache`` with what is known of the prompt; returns the number of tokens.

        The last token of a prompt is never taken from here: its logits have to be computed.
        """
        found = self._found(prompt, salt)
        if found:
            keys, values = zip(*(self._blocks[key] for key in found), strict=True)
            cache.fill((torch.cat(keys, dim=3), torch.cat(values, dim=2)))
        for key in reversed(found):
            self._blocks.move_to_end(key)
        return len(found) * BLOCK

    def known(self, prompt: Sequence[int], salt: str | None) -> int:
        """How many tokens :meth:`fill` would find."""
        return len(self._found(prompt, salt)) * BLOCK

    def _found(self, prompt: Sequence[int], salt: str | None) -> list[bytes]:
        return list(takewhile(self._blocks.__contains__, self._keys(prompt[:-1], salt)))

    def keep(self, cache: KeyValueCache, prompt: Sequence[int], salt: str | None) -> None:
        """Remember the whole blocks of a prompt whose keys and values ``cache`` holds."""
        keys = list(self._keys(prompt, salt))
        for index, key in reversed(list(enumerate(keys))):
            if key not in self._blocks:
                block = cache.copy(index * BLOCK, (index + 1) * BLOCK)
                self._blocks[key] = block
                self.held_bytes += _size(block)
            self._blocks.move_to_end(key)
        while self.held_bytes > self._limit:
            _, dropped = self._blocks.popitem(last=False)
            self.held_bytes -= _size(dropped)

    def _keys(self, tokens: Sequence[int], salt: str | None) -> Iterator[bytes]:
        """The key of each whole block, chained from the first on."""
        key = hashlib.blake2b(repr(salt).encode(), digest_size=16).digest()
        data = np.asarray(tokens, dtype=np.int32)
        for start, stop in pairwise(range(0, len(data) + 1, BLOCK)):
            stale = self._stale_from is not None and start >= self._stale_from
            content = b"" if stale else data[start:stop].tobytes()
            key = hashlib.blake2b(content, digest_size=16, key=key).digest()
            yield key


def _size(block: Block) -> int:
    return sum(tensor.nbytes for tensor in block)
