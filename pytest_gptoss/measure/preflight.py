"""Before anything is measured: wait until a server answers, then note what it tells about itself."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from pytest_gptoss.client.http import ServedModel, VllmClient
from pytest_gptoss.errors import ConnectError, RequestError, RequestTimeout, StatusError
from pytest_gptoss.measure.server_facts import facts_of_log, facts_of_server_info
from pytest_gptoss.measure.server_log import shown
from pytest_gptoss.records import KnownFact, Message, Prompt

__all__ = ["Knock", "answers_to", "harmony_date", "knock", "told_by"]

POLL_S = 1.0
FIRST_TELL_S = 2.0
TELL_S = 10.0
_STARTING = (500, 502, 503, 504)
_GREETING = Prompt("preflight", (Message("user", "Hi"),))
_DATE = re.compile(r"Current date: (\d{4}-\d{2}-\d{2})")


@dataclass(frozen=True)
class Knock:
    """A server that answered: what ``/v1/models`` listed, how long that took, and its clock less ours."""

    listed: tuple[ServedModel, ...]
    waited_s: float
    clock_ahead_s: float | None


async def knock(client: VllmClient, *, name: str, patience_s: float, tell: Callable[[str], None]) -> Knock:
    """Ask for the models until the server answers, for at most ``patience_s`` seconds.

    Only what a starting server shows is waited out: no connection, no answer, a 5xx. Raises RequestError
    for all else at once, and for the last of those when the patience is over.
    """
    began = time.monotonic()
    told = began + FIRST_TELL_S - TELL_S
    while True:
        asked = time.time()
        try:
            listed, date = await client.models_and_date()
        except RequestError as error:
            left = patience_s - (time.monotonic() - began)
            if left <= 0 or not _may_be_starting(error):
                raise
            if time.monotonic() - told >= TELL_S:
                told = time.monotonic()
                tell(f"gptoss: waiting for {name}, {left:.0f} s left (--gptoss-ready-timeout): {error}")
            await anyio.sleep(min(POLL_S, left))
        else:
            middle = (asked + time.time()) / 2
            return Knock(listed, time.monotonic() - began, _ahead(date, middle))


def answers_to(root: str) -> tuple[str, ...]:
    """The addresses a URL's host has, each with port and path, sorted; its name alone if it has none."""
    parts = urlsplit(root)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = {
            str(each[4][0]) for each in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        }
    except OSError:
        found = {str(parts.hostname)}
    # A server that listens on loopback listens on both of its addresses or is asked for by either name.
    found = {"127.0.0.1" if address == "::1" else address for address in found}
    return tuple(sorted(f"{address}:{port}{parts.path}" for address in found))


async def harmony_date(client: VllmClient) -> str | None:
    """The date in the server's chat prompt; None where the prompt or its text cannot be seen."""
    try:
        answer = await client.chat(_GREETING, max_tokens=1, top_logprobs=None)
        if answer.prompt_token_ids is None:
            return None
        found = _DATE.search(await client.detokenize(answer.prompt_token_ids))
    except RequestError:
        return None
    return found[1] if found else None


async def told_by(client: VllmClient, log: Path | None) -> tuple[KnownFact, ...]:
    """Facts from ``/server_info``, then those of the log that it leaves open."""
    try:
        info = facts_of_server_info(await client.server_info())
    except RequestError:
        info = ()
    if log is None:
        return info
    try:
        logged = facts_of_log(log, shown=shown(log))
    except OSError:
        return info
    known = {fact.name for fact in info}
    return (*info, *(fact for fact in logged if fact.name not in known))


def _may_be_starting(error: RequestError) -> bool:
    if isinstance(error, StatusError):
        return error.status in _STARTING
    return isinstance(error, ConnectError | RequestTimeout)


def _ahead(date: str | None, here: float) -> float | None:
    if not date:
        return None
    try:
        # The header is cut to the second: its middle is the best guess.
        return parsedate_to_datetime(date).timestamp() + 0.5 - here
    except ValueError:
        return None
