"""Bodies that come packed although they were not asked for so, unpacked in pieces of bounded size."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

import httpx

from pytest_gptoss.client.bodies import condense
from pytest_gptoss.errors import DialectError

__all__ = ["unpacked"]

PIECE_BYTES = 64 * 2**10
"""httpx unpacks all that a read holds at once, a thousand times what came, and codings one after another."""

_PLAIN = ("", "identity")
_ZLIB = ("gzip", "x-gzip", "deflate")
_EITHER_HEADER = zlib.MAX_WBITS | 32


async def unpacked(response: httpx.Response) -> AsyncIterator[bytes]:
    """Give a body's bytes as they come, gzip and zlib taken off.

    Raises DialectError for any other coding, for several, and for what is not packed as it says.
    """
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding in _PLAIN:
        async for chunk in response.aiter_raw():
            yield chunk
        return
    if coding not in _ZLIB:
        raise DialectError(
            f"the answer comes packed as {condense(coding, 60)!r}, though it was asked for as it is: "
            "does a proxy meddle? turn its compression off"
        )
    unpacker = zlib.decompressobj(_EITHER_HEADER)
    try:
        async for chunk in response.aiter_raw():
            packed = chunk
            while packed:
                yield unpacker.decompress(packed, PIECE_BYTES)
                packed = unpacker.unconsumed_tail
        yield unpacker.flush()
    except zlib.error as error:
        raise DialectError(
            f"the answer is not packed as {coding}, as it says ({error}): does a proxy meddle?"
        ) from None
