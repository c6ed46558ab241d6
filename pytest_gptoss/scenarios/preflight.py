"""Before anything is measured: wait until a server answers, then note what it tells about itself."""

from __future__ import annotations

import math
import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from pytest_gptoss.client.http import ServedModel, VllmClient
from pytest_gptoss.client.metrics_page import PROCESS_START, samples
from pytest_gptoss.model.errors import ConnectError, RequestError, RequestTimeout, StatusError, UnknownHost
from pytest_gptoss.model.inputs import Message, Prompt
from pytest_gptoss.model.message import say
from pytest_gptoss.model.subjects import KnownFact
from pytest_gptoss.scenarios.serve_facts import facts_of_serve_line
from pytest_gptoss.scenarios.server_facts import facts_of_log, facts_of_server_info
from pytest_gptoss.scenarios.server_log import shown

__all__ = [
    "TEXT",
    "Knock",
    "answers_to",
    "greeting_ids",
    "harmony_date",
    "host_name",
    "knock",
    "process_start",
    "text_ids",
    "told_by",
]

TEXT = "<|start|>user<|message|>The quick brown fox: 上海, naïve, 7842<|end|>"
"""What a server is asked to tokenize: ``judge.vocabulary`` knows its ids."""
MOST_IDS = 256

POLL_S = 1.0
NAME_PATIENCE_S = 30.0
"""A name may come to be known with its server, but soon."""
LEAST_TRY_S = 5.0
"""The last try has so long at least: a busy server takes a moment to list its models."""
FIRST_TELL_S = 2.0
TELL_S = 10.0
_STARTING = (500, 502, 503, 504)
LOOPBACK = "127.0.0.1"
_THIS_MACHINE = ("::1", "::", "0.0.0.0", "::ffff:127.0.0.1")  # noqa: S104 - asked, not bound
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

    Only what a starting server shows is waited out: no connection, no answer, a 5xx; a host nobody knows is
    likely mistyped and gets ``NAME_PATIENCE_S``. Raises RequestError for all else at once, and for the last
    of those when the patience is over.
    """
    began = time.monotonic()
    told = began + FIRST_TELL_S - TELL_S
    while True:
        waited = time.monotonic() - began
        asked = time.time()
        try:
            listed, date = await _listed(client, within_s=max(patience_s - waited, LEAST_TRY_S))
        except RequestError as error:
            allowed = min(patience_s, NAME_PATIENCE_S) if isinstance(error, UnknownHost) else patience_s
            left = allowed - (time.monotonic() - began)
            if left <= 0 or not _may_be_starting(error):
                raise
            if time.monotonic() - told >= TELL_S:
                told = time.monotonic()
                tell(f"gptoss: waiting for {name}, {left:.0f} s left (--gptoss-ready-timeout): {error}")
            await anyio.sleep(min(POLL_S, left))
        else:
            middle = (asked + time.time()) / 2
            return Knock(listed, time.monotonic() - began, _ahead(date, middle))


async def _listed(client: VllmClient, *, within_s: float) -> tuple[tuple[ServedModel, ...], str | None]:
    """One try: the models and the Date header."""
    with anyio.move_on_after(within_s):
        return await client.models_and_date()
    raise RequestTimeout(
        say(
            "GET {url}: no answer within {within_s:.0f} s: see the server's log, or wait "
            "longer with --gptoss-ready-timeout",
            url=client.endpoint.url("/v1/models"),
            within_s=within_s,
        )
    )


def answers_to(root: str) -> tuple[str, ...]:
    """The addresses a URL's host has, each with port and path, sorted; its name alone if it has none.

    Asks the resolver, which may take its time.
    """
    parts = urlsplit(root)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = {
            str(each[4][0]) for each in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        }
    except OSError:
        found = {str(parts.hostname)}
    # A server on this machine is reached by any of these.
    found = {LOOPBACK if address in _THIS_MACHINE else address for address in found}
    return tuple(sorted(f"{address}:{port}{parts.path}" for address in found))


def host_name(root: str) -> str | None:
    """The name a URL asks for its host by, in lower case; None for a plain address, this machine's included.

    One address may serve many names, each its own server: an ingress does.
    """
    host = (urlsplit(root).hostname or "").removesuffix(".")
    try:
        ip_address(host)
    except ValueError:
        return None if host in ("", "localhost") else host
    return None


async def process_start(client: VllmClient) -> float | None:
    """When the server's process began, in seconds of its own clock; None where ``/metrics`` does not tell."""
    try:
        first = next(samples(await client.metrics_text(), PROCESS_START), None)
    except RequestError:
        return None
    return first.value if first is not None and math.isfinite(first.value) else None


async def harmony_date(client: VllmClient) -> tuple[str | None, str]:
    """The date in the server's chat prompt, and nothing else to say; or None, and why it cannot be seen."""
    try:
        answer = await client.render(_GREETING)
        if answer.prompt_token_ids is None:
            return None, say("its answer lacks prompt_token_ids: return_token_ids is not heeded")
        found = _DATE.search(await client.detokenize(answer.prompt_token_ids))
    except RequestError as error:
        return None, str(error)
    return (found[1], "") if found else (None, say("its prompt holds no line 'Current date: YYYY-MM-DD'"))


async def text_ids(client: VllmClient) -> tuple[int, ...] | None:
    """The ids that the server gives ``TEXT``; None where ``/tokenize`` does not tell."""
    try:
        return (await client.tokenize(TEXT))[:MOST_IDS]
    except RequestError:
        return None


async def greeting_ids(client: VllmClient) -> tuple[int, ...] | None:
    """The ids of the server's chat prompt around "Hi"; None where they cannot be seen."""
    try:
        found = (await client.chat(_GREETING, max_tokens=1, top_logprobs=None)).prompt_token_ids
    except RequestError:
        return None
    return None if found is None else found[-MOST_IDS:]


async def told_by(client: VllmClient, log: Path | None, served: Sequence[str] = ()) -> tuple[KnownFact, ...]:
    """Facts from ``/server_info``, then those that it leaves open of the log, then of the serve line.

    None of them holds the API key.
    """
    try:
        info = facts_of_server_info(await client.server_info())
    except RequestError:
        info = ()
    logged = () if log is None else await anyio.to_thread.run_sync(_logged, log)
    told: dict[str, KnownFact] = {}
    for fact in (*info, *logged, *facts_of_serve_line(served)):
        told.setdefault(fact.name, fact)
    return tuple(replace(fact, value=client.scrubbed(fact.value)) for fact in told.values())


def _logged(log: Path) -> tuple[KnownFact, ...]:
    """What a log tells; reading a long one takes its time, so this runs beside the event loop."""
    try:
        return facts_of_log(log, shown=shown(log))
    except OSError:
        return ()


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
    except (ValueError, OverflowError, OSError):
        return None
