"""The asyncio side of a running sequence: what the engine's thread puts in, a coroutine takes out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeAlias

from torch import Tensor

from pytest_gptoss.reference.generation import GenerationToken, TokenLogprobs

__all__ = ["END", "Delivery", "TokenStream", "deliver"]

END = None
"""Delivered after the last token of a sequence."""

Item: TypeAlias = "GenerationToken | Exception | None"
Delivery: TypeAlias = "tuple[TokenStream, Item]"


class TokenStream:
    """Tokens of one sequence in the order they were computed; made and read on one event loop.

    The engine's thread sets ``prompt_logprobs``, ``cached_tokens`` and ``states`` (float32 per chunk of an
    embedded sequence) before it delivers what follows from them.
    """

    def __init__(self, on_cancel: Callable[[], None]) -> None:
        self.prompt_logprobs: tuple[TokenLogprobs | None, ...] | None = None
        self.cached_tokens = 0
        self.states: tuple[Tensor, ...] = ()
        self.loop = asyncio.get_running_loop()
        self._on_cancel = on_cancel
        self._items: asyncio.Queue[Item] = asyncio.Queue()
        self._ended = False

    def __aiter__(self) -> TokenStream:
        return self

    async def __anext__(self) -> GenerationToken:
        """The next token; raises what the engine failed with, and stops after a cancel."""
        if self._ended:
            raise StopAsyncIteration
        item = await self._items.get()
        if self._ended or item is END:
            self._ended = True
            raise StopAsyncIteration
        if isinstance(item, Exception):
            self._ended = True
            raise item
        return item

    def put(self, item: Item) -> None:
        """Append an item, on the loop's thread."""
        self._items.put_nowait(item)

    def cancel(self) -> None:
        """End the iteration now and free the sequence's slot at the next step."""
        if not self._ended:
            self._ended = True
            self._items.put_nowait(END)
        self._on_cancel()

    def abandon(self) -> None:
        """Free the slot where no loop is left that could read; for the engine's thread."""
        self._on_cancel()


def deliver(deliveries: Iterable[Delivery]) -> None:
    """Hand items over to their loops, one wake-up per loop; a loop that is closed gets none."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Delivery]] = {}
    for stream, item in deliveries:
        by_loop.setdefault(stream.loop, []).append((stream, item))
    for loop, batch in by_loop.items():
        _deliver_to(loop, batch)


def _deliver_to(loop: asyncio.AbstractEventLoop, batch: list[Delivery]) -> None:
    try:
        loop.call_soon_threadsafe(_put_all, batch)
    except RuntimeError:
        for stream, _ in batch:
            stream.abandon()


def _put_all(batch: list[Delivery]) -> None:
    for stream, item in batch:
        stream.put(item)
