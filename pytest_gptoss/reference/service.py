"""What every route shares: the engine, the served name, and how the server was started."""

from __future__ import annotations

import time
import uuid
import zlib
from dataclasses import dataclass, field

from starlette.requests import Request

from pytest_gptoss import __version__
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.reference.api_errors import not_found
from pytest_gptoss.reference.fields import Fields
from pytest_gptoss.reference.generation import InferenceEngine
from pytest_gptoss.reference.metrics import FinishCounter
from pytest_gptoss.reference.parameters import MAX_LOGPROBS

__all__ = ["Service", "random_hex", "request_id", "service_of"]

_LONG_PROMPT = 512
_KEPT_HEAD = 128


@dataclass(frozen=True)
class Service:
    """One served model. ``defect`` is the name of the one that is on, ``start_date`` what is pinned.

    ``max_logprobs``: most alternatives of a token that a request may ask for.
    """

    engine: InferenceEngine
    model: str
    root: str
    dtype: str
    start_date: str | None = None
    defect: str | None = None
    max_logprobs: int = MAX_LOGPROBS
    finished: FinishCounter = field(default_factory=FinishCounter)
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def version(self) -> str:
        """What /version says; a defect that is on is part of it."""
        version = f"pytest-gptoss {__version__} reference, {self.dtype} on CPU"
        return f"{version}, DEFECT {self.defect}" if self.defect else version

    @property
    def fingerprint(self) -> str:
        """Equal for servers that were started alike."""
        settings = f"{self.root} {self.dtype} {self.engine.max_model_len} {self.defect}"
        return f"pytest-gptoss-{__version__}-{zlib.crc32(settings.encode()):08x}"

    def check_model(self, fields: Fields) -> str:
        """The served name; a request may leave it out.

        Raises:
            ApiError: it asks for another model.
        """
        asked = fields.text("model")
        if asked and asked != self.model:
            raise not_found(asked, alias=self.model)
        return self.model

    def shortened(self, prompt: tuple[int, ...]) -> tuple[int, ...]:
        """The prompt; with the defect ``truncate-context`` without the middle of a long one."""
        if self.defect != "truncate-context" or len(prompt) <= _LONG_PROMPT:
            return prompt
        return prompt[:_KEPT_HEAD] + prompt[_KEPT_HEAD - _LONG_PROMPT :]


def service_of(request: Request) -> Service:
    """The service behind a request's application."""
    service: Service = request.app.state.service
    return service


def random_hex() -> str:
    """Sixteen hexadecimal digits, as vLLM's ids end."""
    return uuid.uuid4().hex[:16]


def request_id(request: Request, fields: Fields, prefix: str) -> str:
    """The id of an answer: the client's X-Request-Id or ``request_id``, else a random one."""
    given: Json = request.headers.get("x-request-id") or fields.text("request_id")
    return f"{prefix}-{given or random_hex()}"
