"""TLS between our protocol and the socket: a read is stamped as it comes, then decrypted.

asyncio's own TLS would decrypt before our protocol sees the read, so stamps would include that work, and its
write buffer would hide when the last byte went out.
"""

from __future__ import annotations

import ssl

__all__ = ["TlsLayer"]

_READ_BYTES = 2**18


class TlsLayer:
    """One connection's encryption, client side: bytes in, bytes out, no socket.

    ``context`` verifies the certificate against ``hostname``.
    """

    def __init__(self, context: ssl.SSLContext, hostname: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)

    def handshake(self, received: bytes) -> bool:
        """Go on with the received bytes; returns whether the handshake is complete. Raises ssl.SSLError."""
        self._incoming.write(received)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def to_send(self) -> bytes:
        """Ciphertext that waits to be written."""
        return self._outgoing.read()

    def encrypt(self, plain: memoryview) -> bytes:
        """Ciphertext of a request. Raises ssl.SSLError."""
        self._tls.write(plain)
        return self._outgoing.read()

    def decrypt(self, received: bytes) -> bytes:
        """Plain bytes of a read, empty when a record is still incomplete. Raises ssl.SSLError."""
        self._incoming.write(received)
        parts = []
        try:
            while part := self._tls.read(_READ_BYTES):
                parts.append(part)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass  # the rest is still to come, or the server has said that there is none
        return b"".join(parts)
