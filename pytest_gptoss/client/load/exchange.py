"""One request and its answer as raw reads, each with its stamp.

``add`` runs once for every read while requests are being timed, so it does nothing but keep the bytes and
find out cheaply whether the answer has ended. Chunk framing, content decoding, events and JSON are read
afterwards.
"""

from __future__ import annotations

import asyncio
from array import array

from pytest_gptoss.client.load.framing import MAX_HEAD_BYTES, Dechunker, FramingError, Head, read_head
from pytest_gptoss.model.message import say

__all__ = ["MAX_BODY_BYTES", "Exchange"]

MAX_BODY_BYTES = 16 * 2**20
"""No answer under load may be longer: 512 tokens take a fifth of a MiB, and many are kept at once."""

_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_CONTINUE, _SUCCESS = 100, 200
_PIECE_OVERHEAD = 64
"""Bytes that Python spends on a kept read and its stamp."""


class Exchange:
    """The reads of one answer. Stamps are ``time.monotonic_ns``.

    ``pieces`` are the reads of the body, chunk framing included; ``stamps`` has one for each.
    ``start_ns``: handed to the client. ``sent_ns``: the request's last byte written to the socket, None
    before; where one call took it all, the stamp is from just before that call. ``last_ns``: the latest
    read, or the failure. ``over`` is done when the answer has ended, with an exception when the connection
    failed.
    """

    __slots__ = (
        "_dechunker",
        "_framed",
        "_method",
        "head",
        "last_ns",
        "over",
        "pieces",
        "sent_ns",
        "size",
        "stamps",
        "start_ns",
    )

    def __init__(self, method: str, start_ns: int, over: asyncio.Future[None]) -> None:
        self.start_ns = start_ns
        self.sent_ns: int | None = None
        self.last_ns = start_ns
        self.head: Head | None = None
        self.stamps = array("q")
        self.pieces: list[bytes] = []
        self.size = 0
        self.over = over
        self._method = method
        self._dechunker: Dechunker | None = None
        self._framed = 0

    @property
    def memory(self) -> int:
        """About how many bytes of memory its reads take."""
        return self.size + _PIECE_OVERHEAD * len(self.pieces)

    def add(self, stamp_ns: int, piece: bytes) -> bool:
        """Keep a read; returns whether the answer ends with it.

        Raises FramingError for what is no HTTP/1.1, and for headers or a body that are too long.
        """
        self.stamps.append(stamp_ns)
        self.pieces.append(piece)
        self.size += len(piece)
        self.last_ns = stamp_ns
        head = self.head
        if head is None:
            return self._begin(stamp_ns)
        if head.chunked:
            # Only a read that ends in an empty line can hold the last chunk, and an event stream's chunks end
            # differently: most reads return here, after two comparisons.
            if not piece.endswith(_HEAD_END) and len(piece) >= len(_HEAD_END):
                return self._bounded()
            return self._last_chunk() or self._bounded()
        return self._complete(head) or self._bounded()

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another request.

        Not where the server closes it, nor where it sent more than Content-Length says: the surplus would be
        read as the beginning of the next answer.
        """
        head = self.head
        return head is not None and head.keep_alive and (head.length is None or self.size == head.length)

    def ends_with_connection(self) -> bool:
        """Whether closing the connection is how this answer ends: it has neither chunks nor a length."""
        return self.head is not None and not self.head.chunked and self.head.length is None

    def _begin(self, stamp_ns: int) -> bool:
        """Read the head once all of it has come; from then on ``pieces`` hold the body only.

        What this read holds of the body has this read's stamp. Interim answers (100 Continue) are skipped.
        """
        raw = b"".join(self.pieces)
        while True:
            end = raw.find(_HEAD_END)
            if end < 0:
                if len(raw) > MAX_HEAD_BYTES:
                    raise FramingError(
                        say(
                            "the answer's headers are longer than {most} bytes",
                            most=MAX_HEAD_BYTES,
                        )
                    )
                return False
            head = read_head(raw[:end], self._method)
            raw = raw[end + len(_HEAD_END) :]
            if not _CONTINUE <= head.status < _SUCCESS:
                break
        self.head = head
        self.pieces[:] = [raw] if raw else []
        self.stamps = array("q", [stamp_ns] if raw else [])
        self.size = len(raw)
        if head.chunked:
            return bool(raw) and self._last_chunk()
        return self._complete(head)

    def _complete(self, head: Head) -> bool:
        return head.length is not None and self.size >= head.length

    def _last_chunk(self) -> bool:
        """Whether the body has ended: by its last bytes where they tell, else by framing what came since."""
        tail = self.pieces[-1]
        if len(tail) < len(_LAST_CHUNK):
            tail = b"".join(self.pieces[-len(_LAST_CHUNK) :])
        if tail.endswith(_LAST_CHUNK) or tail == _LAST_CHUNK[2:]:
            return True
        self._dechunker = self._dechunker or Dechunker()
        for piece in self.pieces[self._framed :]:
            self._dechunker.feed(piece)
        self._framed = len(self.pieces)
        return self._dechunker.ended

    def _bounded(self) -> bool:
        if self.size > MAX_BODY_BYTES:
            raise FramingError(say("the answer is longer than {most} bytes", most=MAX_BODY_BYTES))
        return False
