"""Bodies that come packed although they were not asked for so, unpacked in pieces of bounded size.

The one decoding of all clients: the one that asks one by one reads while a body comes, the one under load
afterwards, from bytes that were stamped as they came.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

import httpx

from pytest_gptoss.client.bodies import condense
from pytest_gptoss.model.errors import DialectError

__all__ = ["Unpacker", "unpacked"]

PIECE_BYTES = 64 * 2**10
"""httpx unpacks all that a read holds at once, a thousand times what came, and codings one after another."""

_PLAIN = ("", "identity")
_ZLIB = ("gzip", "x-gzip", "deflate")
_EITHER_HEADER = zlib.MAX_WBITS | 32
_GZIP_BEGINS = b"\x1f"


class Unpacker:
    """Takes gzip or zlib off a body, part by part; what is not packed passes as it is.

    ``content_encoding`` is the answer's header. Raises DialectError for any other coding and for several.
    """

    def __init__(self, content_encoding: str) -> None:
        self._coding = content_encoding.strip().lower()
        if self._coding not in (*_PLAIN, *_ZLIB):
            raise DialectError(
                f"the answer comes packed as {condense(self._coding, 60)!r}, though it was asked for as it "
                "is: does a proxy meddle? turn its compression off"
            )
        self._zlib = None if self._coding in _PLAIN else zlib.decompressobj(_EITHER_HEADER)

    def feed(self, part: bytes) -> Iterator[bytes]:
        """Give the body's bytes in a part; raises DialectError when it is not packed as it says."""
        if self._zlib is None:
            yield part
            return
        more = False  # a piece of full size may not be all that zlib has of what it was given
        try:
            while part or more:
                if self._zlib.eof:
                    if not part.startswith(_GZIP_BEGINS):
                        return  # padding
                    self._zlib = zlib.decompressobj(_EITHER_HEADER)  # a body may be several files in a row
                piece = self._zlib.decompress(part, PIECE_BYTES)
                part = self._zlib.unconsumed_tail or self._zlib.unused_data
                more = len(piece) == PIECE_BYTES
                if piece:
                    yield piece
        except zlib.error as error:
            raise DialectError(
                f"the answer is not packed as {self._coding}, as it says ({error}): does a proxy meddle?"
            ) from None


async def unpacked(response: httpx.Response) -> AsyncIterator[bytes]:
    """Give a body's bytes as they come, gzip and zlib taken off. Raises DialectError as ``Unpacker`` does."""
    unpacker = Unpacker(response.headers.get("content-encoding", ""))
    async for chunk in response.aiter_raw():
        for piece in unpacker.feed(chunk):
            yield piece
