"""Requests under load, and the result of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from pytest_gptoss import __version__
from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.load.transport import encode
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.results import LoopHealth, RequestTiming

__all__ = ["LoadRequest", "LoadRun", "encoded"]

_UNBOUNDED = 2**20


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """One streaming request: ``id`` is sent as X-Request-Id, ``body`` as JSON with the model's name.

    ``asked``: prompt and output tokens of a request that has a length of its own, as those of a trace have.
    """

    id: str
    path: str
    body: Mapping[str, Json]
    asked: tuple[int, int] | None = None

    @property
    def max_tokens(self) -> int:
        """The most tokens that the answer may have; 2**20 where the body sets no limit."""
        asked = self.body.get("max_tokens", self.body.get("max_completion_tokens"))
        return asked if isinstance(asked, int) else _UNBOUNDED


@dataclass(frozen=True, slots=True)
class LoadRun:
    """A run's requests in the order given, those never started left out, and how the client kept up.

    ``started_ns`` and ``ended_ns`` are on the client's monotonic clock, as the timings are.
    """

    requests: tuple[RequestTiming, ...]
    health: LoopHealth
    started_ns: int
    ended_ns: int


async def encoded(request: LoadRequest, endpoint: Endpoint) -> httpx.Request:
    """Make the HTTP request, its bytes ready to be written; ``endpoint`` gives address, model and key."""
    named = {} if endpoint.model is None else {"model": endpoint.model}
    headers = {
        "User-Agent": f"pytest-gptoss/{__version__}",
        # Compression would cost the client time and join events, whose arrival is what is measured.
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "X-Request-Id": request.id,
    }
    if endpoint.api_key is not None:
        headers["Authorization"] = f"Bearer {endpoint.api_key.reveal()}"
    body = json.dumps({**named, **request.body}, allow_nan=False, separators=(",", ":")).encode()
    made = httpx.Request("POST", endpoint.url(request.path), headers=headers, content=body)
    await encode(made)
    return made
