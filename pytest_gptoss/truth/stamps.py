"""What the server really did, on the monotonic clock that all processes of a machine share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Stamps"]


@dataclass(slots=True)
class Stamps:
    """One request. ``read_ns``: its last byte was read; a token's stamp is taken right before its write.

    ``end_ns`` is right before the answer's last write, None while it runs or when the client went away.
    ``start_ns`` and ``service_ns``: when its service was to begin and how long it was to take, where the
    server has a queue.
    """

    id: str
    read_ns: int
    token_ns: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    first_text_ns: int | None = None
    end_ns: int | None = None
    start_ns: int | None = None
    service_ns: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The fields, for ``GET /stamps``."""
        return {
            "id": self.id,
            "read_ns": self.read_ns,
            "token_ns": self.token_ns,
            "tokens": self.tokens,
            "first_text_ns": self.first_text_ns,
            "end_ns": self.end_ns,
            "start_ns": self.start_ns,
            "service_ns": self.service_ns,
        }
