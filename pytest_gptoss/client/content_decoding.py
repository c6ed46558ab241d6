"""Content decoding: gzip and zlib taken off bodies in pieces of bounded size.

Requests ask for ``identity``, but proxies may compress all the same. Both clients decode here: the usual one
while a body comes, the one under load afterwards, from bytes that were stamped as they came.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

import httpx

from pytest_gptoss.client.bodies import condense
from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.model.message import say

__all__ = ["ContentDecoder", "decoded"]

PIECE_BYTES = 64 * 2**10
"""The largest decoded piece. httpx is not used for this: it decodes a read at once, to a thousand times its
size, and several codings one after another."""

_PLAIN = ("", "identity")
_ZLIB = ("gzip", "x-gzip", "deflate")
_EITHER_HEADER = zlib.MAX_WBITS | 32
_GZIP_BEGINS = b"\x1f"


class ContentDecoder:
    """Decodes a body part by part; one without a coding passes as it is.

    ``content_encoding`` is the answer's header: gzip, deflate (zlib's form), identity or empty. Raises
    DialectError for any other coding and for several.
    """

    def __init__(self, content_encoding: str) -> None:
        self._coding = content_encoding.strip().lower()
        if self._coding not in (*_PLAIN, *_ZLIB):
            raise DialectError(
                say(
                    "the answer comes packed as {coding}, though it was asked for as it is: does a "
                    "proxy meddle? turn its compression off",
                    coding=repr(condense(self._coding, 60)),
                )
            )
        self._zlib = None if self._coding in _PLAIN else zlib.decompressobj(_EITHER_HEADER)

    def feed(self, part: bytes) -> Iterator[bytes]:
        """The decoded bytes of a part, in pieces; raises DialectError for data that is not in that coding."""
        if self._zlib is None:
            yield part
            return
        more = False  # after a piece of full size zlib may hold more of what it was given
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
                say(
                    "the answer is not packed as {coding}, as it says ({error}): does a proxy meddle?",
                    coding=self._coding,
                    error=error,
                )
            ) from None


async def decoded(response: httpx.Response) -> AsyncIterator[bytes]:
    """A body's decoded bytes as they come. Raises DialectError as ``ContentDecoder`` does."""
    decoder = ContentDecoder(response.headers.get("content-encoding", ""))
    async for chunk in response.aiter_raw():
        for piece in decoder.feed(chunk):
            yield piece
