"""Which server answers: what it tells of itself, read before and after it is measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import asdict, replace
from typing import TypeVar

import anyio

from pytest_gptoss.client.bodies import condense
from pytest_gptoss.client.http import ServedModel, VllmClient
from pytest_gptoss.client.metrics_page import PROCESS_START, samples
from pytest_gptoss.model.errors import DialectError, RequestError, StatusError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.subjects import ServerIdentity
from pytest_gptoss.scenarios.server_facts import facts_of_server_info

__all__ = ["Watch", "provenance_of", "read_identity", "starts_of"]

Result = TypeVar("Result")

READ_S = 5.0
"""Time for one reading. A server that hangs is the measured requests' to find out."""
READS_AGAIN = 4
"""Readings after one that differs: of two replicas the first answers again in 15 of 16 cases at random."""
MOST_STARTS = 64
LONGEST = 120
_LATEST_START = 1e11
"""Seconds since 1970: a larger number is no time."""
_SETTINGS = (
    "model", "revision", "kv_cache_dtype", "cache_dtype", "block_size", "enable_prefix_caching",
    "max_num_seqs", "enable_chunked_prefill", "data_parallel_size",
    "gpu_memory_utilization",
)  # fmt: skip
"""Settings of ``/server_info`` beside those that reports show: they say what is computed, and how fast."""


class Watch:
    """Reads one server's identity again and again.

    ``known`` keeps the last one from one watch to the next, under ``key``.
    """

    def __init__(self, client: VllmClient, known: MutableMapping[str, ServerIdentity], *, key: str) -> None:
        self._client = client
        self._known = known
        self._key = key

    async def look(self) -> tuple[ServerIdentity, ...]:
        """Who answers now, in the order seen.

        Where another answers than the last time, it is asked some times more: replicas behind one address
        answer in turn, and a server that was started anew stays.
        """
        last, now = self._known.get(self._key), await read_identity(self._client)
        seen = [now]
        if last is not None and _differ(last, now):
            seen += [await read_identity(self._client) for _ in range(READS_AGAIN)]
        changes = [each for place, each in enumerate(seen) if place == 0 or _differ(seen[place - 1], each)]
        self._known[self._key] = changes[-1]
        return tuple(changes)


async def read_identity(client: VllmClient) -> ServerIdentity:
    """What the server tells of itself within ``READ_S`` seconds; never raises for what it answers."""
    found = ServerIdentity()
    with anyio.move_on_after(READ_S):
        try:
            found = replace(found, starts=starts_of(await _told(client.metrics_text) or ""))
            chosen = _chosen(await _told(client.models) or (), client.model)
            if chosen is not None:
                found = replace(
                    found,
                    model=chosen.id,
                    checkpoint=chosen.root and client.scrubbed(chosen.root),
                    max_model_len=chosen.max_model_len,
                )
            found = replace(found, version=await client.version())
            settings = _settings(await _told(client.server_info))
            found = replace(
                found, settings={name: client.scrubbed(value) for name, value in settings.items()}
            )
        except RequestError:
            pass  # it is gone: what it told before that stands
    return found


def provenance_of(
    *, before: Iterable[ServerIdentity] = (), after: Iterable[ServerIdentity] = (), place: str | None = None
) -> dict[str, Json]:
    """What a measurement keeps of who answered: ``server``, for ``judge.one_server``.

    ``place`` names another source than the device's own server: an address, a file.
    """
    seen = {"before": [asdict(each) for each in before], "after": [asdict(each) for each in after]}
    return {"server": {"place": place, **seen}}


def starts_of(text: str) -> tuple[float, ...]:
    """When the processes that a page of Prometheus' text form tells of began, in seconds, sorted."""
    found: set[float] = set()
    for sample in samples(text, PROCESS_START):
        if 0 <= sample.value < _LATEST_START:
            found.add(sample.value)
    return tuple(sorted(found)[:MOST_STARTS])


async def _told(ask: Callable[[], Awaitable[Result]]) -> Result | None:
    """Ask; None when the server answers that it does not tell."""
    try:
        return await ask()
    except (StatusError, DialectError):
        return None


def _chosen(listed: tuple[ServedModel, ...], wanted: str | None) -> ServedModel | None:
    named = next((each for each in listed if each.id == wanted), None)
    return listed[0] if named is None and len(listed) == 1 else named


def _settings(info: Json) -> Mapping[str, str]:
    found = {fact.name: fact.value for fact in facts_of_server_info(info)}
    config = info.get("vllm_config") if isinstance(info, dict) else None
    for part in config.values() if isinstance(config, dict) else ():
        for name in _SETTINGS:
            if isinstance(part, dict) and isinstance(part.get(name), str | int | float):
                found.setdefault(name, condense(str(part[name]), LONGEST))
    return found


def _differ(one: ServerIdentity, other: ServerIdentity) -> bool:
    """Whether a fact that both tell is not the same."""
    names = ("starts", "model", "checkpoint", "version", "max_model_len")
    pairs = [(getattr(one, name), getattr(other, name)) for name in names]
    pairs += [(one.settings[name], other.settings[name]) for name in one.settings if name in other.settings]
    return any(
        ours != theirs for ours, theirs in pairs if ours not in (None, ()) and theirs not in (None, ())
    )
