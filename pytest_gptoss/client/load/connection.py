"""One connection: a request out, its answer in, and a stamp before anything looks at a read."""

from __future__ import annotations

import asyncio
import ssl
from time import monotonic_ns
from typing import cast

import httpx

from pytest_gptoss.client.load.exchange import Exchange
from pytest_gptoss.client.load.framing import FramingError
from pytest_gptoss.client.load.tls import TlsLayer

__all__ = ["StampedConnection"]


class StampedConnection(asyncio.Protocol):
    """Carries one exchange at a time. ``ready`` is done when the connection, TLS included, stands."""

    def __init__(self, ready: asyncio.Future[None], tls: TlsLayer | None) -> None:
        self.ready = ready
        self.usable = False
        self.idle_since_ns = 0
        self._tls = tls
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._unsent: Exchange | None = None

    def send(self, head: memoryview, body: bytes, exchange: Exchange) -> None:
        """Write a request in one go; the exchange is filled from now on."""
        transport = self._transport
        if transport is None or not self.usable:
            raise httpx.WriteError("the connection was closed")
        self._exchange = self._unsent = exchange
        # Joined, not with writelines, which in some Pythons does not pause when not all could be written.
        plain = memoryview(b"".join((head, body)))
        data = plain if self._tls is None else self._tls.encrypt(plain)
        # Before the system call: its way back may be long, for it wakes whoever waits for these bytes.
        written_ns = monotonic_ns()
        transport.write(data)
        # With a high-water mark of 0, whatever did not go out at once has paused us.
        if not transport.get_write_buffer_size():
            self._unsent = None
            exchange.sent_ns = written_ns

    def close(self) -> None:
        """Drop the connection at once; an exchange on it is broken off."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # -- what the event loop calls --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, or be ready."""
        # uvloop's transports are of no common class, but behave as one.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)
        if self._tls is None:
            self._stand()
        else:
            self._shake_hands(b"")

    def data_received(self, data: bytes) -> None:
        """Stamp, keep, and look whether the answer has ended."""
        stamp_ns = monotonic_ns()
        if self._tls is not None:
            data = self._decrypted(self._tls, data)
            if not data:
                return
        exchange = self._exchange
        if exchange is None:
            # Nothing was asked: whatever this is, the next answer must not begin with it.
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
        """Nothing to do: one request is written at a time."""

    def resume_writing(self) -> None:
        """Note that the request's last byte is with the kernel."""
        if self._unsent is not None:
            self._unsent.sent_ns = monotonic_ns()
            self._unsent = None

    def connection_lost(self, error: Exception | None) -> None:
        """End what the closing ends, break what it breaks."""
        self.usable = False
        exchange = self._exchange
        if exchange is not None and error is None and exchange.ends_with_connection():
            self._end(exchange)
        elif exchange is not None:
            exchange.last_ns = max(exchange.last_ns, monotonic_ns())
            self._break(httpx.ReadError(str(error) if error else "the server closed it"))
        elif not self.ready.done():
            self.ready.set_exception(error or ConnectionResetError("the server closed the connection"))

    # -- within ---------------------------------------------------------------------------------

    def _stand(self) -> None:
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

    def _shake_hands(self, received: bytes) -> None:
        tls, transport = self._tls, self._transport
        if tls is None or transport is None:
            return
        try:
            complete = tls.handshake(received)
        except ssl.SSLError as error:
            if not self.ready.done():
                self.ready.set_exception(error)
            transport.write(tls.to_send())
            transport.close()
            return
        transport.write(tls.to_send())
        if complete:
            self._stand()

    def _decrypted(self, tls: TlsLayer, received: bytes) -> bytes:
        if not self.usable and not self.ready.done():
            self._shake_hands(received)
            received = b""
            if not self.usable:
                return b""
        try:
            plain = tls.decrypt(received)
        except ssl.SSLError as error:
            self._break(httpx.ReadError(str(error)))
            return b""
        answer = tls.to_send()
        if answer and self._transport is not None:
            self._transport.write(answer)
        return plain
