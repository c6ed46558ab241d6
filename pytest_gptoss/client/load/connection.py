"""One connection under load: sends a request, stamps every read of its answer.

An ``asyncio.Protocol`` rather than streams: the event loop calls ``data_received`` as soon as it has read,
with no task to wake and no buffer in between, so the stamp is as close to the socket as Python gets. What
costs time (decoding, JSON) is done later, from the kept bytes; see ``backlog.py``.
"""

from __future__ import annotations

import asyncio
import ssl
from time import monotonic_ns
from typing import cast

import httpx

from pytest_gptoss.client.load.exchange import Exchange
from pytest_gptoss.client.load.framing import FramingError
from pytest_gptoss.client.load.tls import TlsLayer
from pytest_gptoss.model.message import say

__all__ = ["StampedConnection"]


class StampedConnection(asyncio.Protocol):
    """Carries one exchange at a time.

    ``ready`` is done when a request can be sent (TLS handshake included), with an exception when the
    connection or the handshake fails. ``usable`` says whether another request may be sent; ``idle_since_ns``
    is when the last answer ended.
    """

    def __init__(self, ready: asyncio.Future[None], tls: TlsLayer | None) -> None:
        self.ready = ready
        self.usable = False
        self.idle_since_ns = 0
        self._tls = tls
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._unsent: Exchange | None = None

    def send(self, head: memoryview, body: bytes, exchange: Exchange) -> None:
        """Write a request; reads from now on go to ``exchange``. Raises httpx.WriteError when closed."""
        transport = self._transport
        if transport is None or not self.usable:
            raise httpx.WriteError("the connection was closed")
        self._exchange = self._unsent = exchange
        # Joined and not sent with writelines: in some Pythons that never calls pause_writing when a part of
        # the data stays behind, and sent_ns would be too early.
        plain = memoryview(b"".join((head, body)))
        data = plain if self._tls is None else self._tls.encrypt(plain)
        # The stamp is taken before the system call. On a busy machine the kernel may run the server, which
        # this write wakes, before it returns here: a stamp taken afterwards would make TTFT too short.
        written_ns = monotonic_ns()
        transport.write(data)
        # An empty buffer: the kernel took it all. Otherwise resume_writing stamps the end.
        if not transport.get_write_buffer_size():
            self._unsent = None
            exchange.sent_ns = written_ns

    def close(self) -> None:
        """Drop the connection at once, unsent data included; a running exchange fails with ReadError."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # -- what the event loop calls --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the TLS handshake; plain HTTP is ready at once."""
        # uvloop's transports do not inherit from asyncio.Transport, but have its methods.
        self._transport = cast(asyncio.Transport, transport)
        # With a high-water mark of 0 the loop calls resume_writing when the buffer is empty, which is when
        # the request's last byte is with the kernel: the only way to learn that of a request larger than its
        # buffer.
        self._transport.set_write_buffer_limits(high=0)
        if self._tls is None:
            self._become_ready()
        else:
            self._handshake(b"")

    def data_received(self, data: bytes) -> None:
        """Stamp a read and keep it; ends the exchange when the answer is complete."""
        # First of all, before decryption: no work of ours belongs to the server's time.
        stamp_ns = monotonic_ns()
        if self._tls is not None:
            data = self._decrypted(self._tls, data)
            if not data:
                return
        exchange = self._exchange
        if exchange is None:
            # Bytes without a request. The connection cannot be reused: the next answer would begin with them.
            self.close()
            return
        try:
            ended = exchange.add(stamp_ns, data)
        except FramingError as error:
            self._break(httpx.RemoteProtocolError(str(error)))
            return
        if ended:
            self._end(exchange)

    def pause_writing(self) -> None:
        """Do nothing: no second request is written before the first one is answered."""

    def resume_writing(self) -> None:
        """Stamp the moment when the request's last byte is with the kernel."""
        if self._unsent is not None:
            self._unsent.sent_ns = monotonic_ns()
            self._unsent = None

    def connection_lost(self, error: Exception | None) -> None:
        """End an answer that lasts until the server closes; any other exchange fails with ReadError."""
        self.usable = False
        exchange = self._exchange
        if exchange is not None and error is None and exchange.ends_with_connection():
            self._end(exchange)
        elif exchange is not None:
            exchange.last_ns = max(exchange.last_ns, monotonic_ns())
            self._break(httpx.ReadError(str(error) if error else say("the server closed it")))
        elif not self.ready.done():
            self.ready.set_exception(error or ConnectionResetError("the server closed the connection"))

    # -- internal -------------------------------------------------------------------------------

    def _become_ready(self) -> None:
        self.usable = True
        self.idle_since_ns = monotonic_ns()
        if not self.ready.done():
            self.ready.set_result(None)

    def _end(self, exchange: Exchange) -> None:
        self._exchange = self._unsent = None
        self.idle_since_ns = exchange.last_ns
        if not exchange.reusable:
            self.close()
        if not exchange.over.done():
            exchange.over.set_result(None)

    def _break(self, error: Exception) -> None:
        exchange, self._exchange = self._exchange, None
        self.close()
        if exchange is not None and not exchange.over.done():
            exchange.over.set_exception(error)

    def _handshake(self, received: bytes) -> None:
        tls, transport = self._tls, self._transport
        if tls is None or transport is None:
            return
        try:
            complete = tls.handshake(received)
        except ssl.SSLError as error:
            if not self.ready.done():
                self.ready.set_exception(error)
            # The alert tells the server's log why; close, unlike abort, still sends it.
            transport.write(tls.to_send())
            transport.close()
            return
        transport.write(tls.to_send())
        if complete:
            self._become_ready()

    def _decrypted(self, tls: TlsLayer, received: bytes) -> bytes:
        """The plain bytes of a read; empty during the handshake and while a TLS record is incomplete."""
        if not self.usable and not self.ready.done():
            self._handshake(received)
            received = b""
            if not self.usable:
                return b""
        try:
            plain = tls.decrypt(received)
        except ssl.SSLError as error:
            self._break(httpx.ReadError(str(error)))
            return b""
        # The server may have asked for new keys, which needs an answer.
        answer = tls.to_send()
        if answer and self._transport is not None:
            self._transport.write(answer)
        return plain
