"""The ground-truth server as a process on this machine's loopback, and what it says it did."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.model.message import say
from pytest_gptoss.servers.process import ServerProcess

__all__ = ["TrueRequest", "TruthServer", "truth_server"]

_READY_S = 30.0
_ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class TrueRequest:
    """What the server did with one request, on the clock that all processes of a machine share.

    ``read_ns``: its last byte was read; ``token_ns``: right before each event with tokens was written,
    ``tokens`` how many each held; ``end_ns`` None: the answer was not written to its end. ``start_ns`` and
    ``service_ns``: when its service began and how long it took, by the plan of a server with a queue.
    """

    id: str
    read_ns: int
    token_ns: tuple[int, ...]
    tokens: tuple[int, ...]
    first_text_ns: int | None
    end_ns: int | None
    start_ns: int | None = None
    service_ns: int | None = None


@dataclass(frozen=True, slots=True)
class TruthServer:
    """A running ground-truth server. Asking it raises ReferenceServerError when it does not answer."""

    endpoint: Endpoint
    process: ServerProcess

    def stamps(self) -> Mapping[str, TrueRequest]:
        """By X-Request-Id, what the server did since the last ``forget``."""
        return {each.id: each for each in self.all_stamps()}

    def all_stamps(self) -> list[TrueRequest]:
        """The same in the order of arrival, also where ids repeat or are missing."""
        return [_true_request(each) for each in self._ask("GET")]

    def forget(self) -> None:
        """Let the server drop its stamps, and begin anew with an empty queue where it has one."""
        self._ask("DELETE")

    def _ask(self, method: str) -> list[dict[str, object]]:
        # An httpx client that trusts the environment would send this through its proxy.
        try:
            with httpx.Client(trust_env=False, timeout=_ANSWER_S) as client:
                answer = client.request(method, self.endpoint.url("/stamps")).raise_for_status()
            requests: list[dict[str, object]] = answer.json()["requests"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ReferenceServerError(
                say(
                    "the ground-truth server does not tell what it did ({error}): did something end it? "
                    "measure again",
                    error=error or type(error).__name__,
                )
            ) from None
        return requests


@contextmanager
def truth_server(*arguments: str) -> Iterator[TruthServer]:
    """Run a ground-truth server; ``arguments`` are added to its command line.

    Raises ReferenceServerError when it does not start.
    """
    command = [sys.executable, "-m", "pytest_gptoss.truth", "--parent-pid", str(os.getpid()), *arguments]
    with ServerProcess.launch(command, say("the ground-truth server")) as process:
        process.wait_ready(
            time.monotonic() + _READY_S,
            late=say(
                "it is not ready within {ready_s:g} s: measure again when the machine is less busy",
                ready_s=_READY_S,
            ),
        )
        yield TruthServer(Endpoint(process.url), process)


def _true_request(said: dict[str, object]) -> TrueRequest:
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
    return TrueRequest(**fields)  # type: ignore[arg-type]
