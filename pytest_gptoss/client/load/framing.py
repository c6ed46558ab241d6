"""HTTP/1.1 answers as bytes: reading the head, and finding where a body ends.

Source: RFC 9112, sections 4 to 7. Parsing chunks costs about a microsecond each, so while an answer runs only
the last bytes of each read are looked at (``exchange.py``). Chunks are parsed where those do not decide.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gptoss.model.message import say

__all__ = ["MAX_HEAD_BYTES", "Dechunker", "FramingError", "Head", "read_head"]

MAX_HEAD_BYTES = 64 * 2**10
_MAX_CHUNK_LINE = 4096
_BODILESS = frozenset({204, 304})


class FramingError(Exception):
    """The bytes are not HTTP/1.1, or exceed a limit; the message says what came."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers; names are in lower case.

    ``length`` is Content-Length, None where the last chunk or the connection's end ends the body.
    ``keep_alive``: the server will take another request on this connection.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    chunked: bool
    length: int | None
    keep_alive: bool

    def header(self, name: bytes) -> str:
        """A header's value by its lower-case name; empty when it is absent."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")


def read_head(raw: bytes, method: str) -> Head:
    """Read an answer's head, its empty line left out; names come out in lower case.

    Raises FramingError for what is no HTTP/1.0 or 1.1 answer.
    """
    first, *lines = raw.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    code = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or len(code) != 3 or not code.isdigit():
        raise FramingError(say("the answer begins with {first}: that is no HTTP/1.1", first=repr(first[:60])))
    headers = tuple(_header(line) for line in lines)
    named = dict(headers)
    status = int(code)
    chunked = named.get(b"transfer-encoding", b"").lower().rpartition(b",")[2].strip() == b"chunked"
    connection = named.get(b"connection", b"").lower()
    keep_alive = b"close" not in connection and (version == b"HTTP/1.1" or b"keep-alive" in connection)
    if method == "HEAD" or status in _BODILESS:
        return Head(status, headers, False, 0, keep_alive)
    length = None if chunked else _length(headers)
    return Head(status, headers, chunked, length, keep_alive and (chunked or length is not None))


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not name or name != name.strip():
        raise FramingError(say("a header line is {line}: expected a name and a colon", line=repr(line[:60])))
    return name.lower(), value.strip()


def _length(headers: tuple[tuple[bytes, bytes], ...]) -> int | None:
    values = {value for name, value in headers if name == b"content-length"}
    if not values:
        return None
    value = values.pop()
    if values or not value.isdigit() or len(value) > 15:
        raise FramingError(say("Content-Length is {value}: expected one number", value=repr(value[:60])))
    return int(value)


class Dechunker:
    """Takes the chunk framing off a body, piece by piece; ``ended`` once the last chunk was read."""

    def __init__(self) -> None:
        self.ended = False
        self._left = 0
        """Bytes of the present chunk still to come, with the two that end it."""
        self._line = b""
        """A size line, or a trailer line, that has begun."""
        self._in_trailers = False

    def feed(self, piece: bytes) -> bytes:
        """Give the body bytes in a piece. Raises FramingError for anything but chunks."""
        body: list[bytes] = []
        at, size = 0, len(piece)
        while at < size and not self.ended:
            if self._left:
                take = min(self._left, size - at)
                data_left = self._left - 2
                if data_left > 0:
                    body.append(piece[at : at + min(take, data_left)])
                self._left -= take
                at += take
                continue
            end = piece.find(b"\n", at)
            if end < 0:
                self._keep(piece[at:])
                break
            self._end_line(self._line + piece[at : end + 1])
            at = end + 1
        return body[0] if len(body) == 1 else b"".join(body)

    def _keep(self, part: bytes) -> None:
        self._line += part
        if len(self._line) > _MAX_CHUNK_LINE:
            raise FramingError(
                say(
                    "a chunk's size line is longer than {most} bytes",
                    most=_MAX_CHUNK_LINE,
                )
            )

    def _end_line(self, line: bytes) -> None:
        self._line = b""
        if self._in_trailers:
            self.ended = line in (b"\r\n", b"\n")
            return
        digits = line.partition(b";")[0].strip()
        try:
            if not digits.isalnum() or len(digits) > 15:
                raise ValueError
            size = int(digits, 16)
        except ValueError:
            raise FramingError(
                say("a chunk's size is {line}: expected a hexadecimal number", line=repr(line[:60]))
            ) from None
        if size:
            self._left = size + 2
        else:
            self._in_trailers = True
