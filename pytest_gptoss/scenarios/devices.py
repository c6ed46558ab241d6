"""Who is asked: every device probed once, and an honest account of those that do not answer."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import httpx

from pytest_gptoss.client.connection import bound_http_client
from pytest_gptoss.client.endpoint import Endpoint, Secret
from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.client.http import Timeouts, VllmClient
from pytest_gptoss.client.probe import probe
from pytest_gptoss.model.errors import RequestError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.key_variables import key_variable
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Failure, Measurement
from pytest_gptoss.model.subjects import Device, Role, ServerFacts, ServerIdentity
from pytest_gptoss.scenarios.identity import provenance_of, read_identity
from pytest_gptoss.scenarios.kinds import Preflight
from pytest_gptoss.scenarios.preflight import (
    TEXT,
    Knock,
    answers_to,
    greeting_ids,
    harmony_date,
    host_name,
    knock,
    process_start,
    text_ids,
    told_by,
)
from pytest_gptoss.scenarios.told_apart import answer_prints, may_be_one

__all__ = [
    "Access",
    "Address",
    "Met",
    "ProbedDevice",
    "Waiting",
    "not_met",
    "probe_all",
]


@dataclass(frozen=True)
class Address:
    """Where a device is reached, as the user gave it; ``log`` is its server's log file."""

    role: Role
    name: str
    url: str
    label: str | None
    model: str | None
    log: Path | None = None


@dataclass(frozen=True)
class Access:
    """How devices are reached: time-outs, certificates, proxies, and the key's variable."""

    timeouts: Timeouts
    ca_bundle: Path | None
    trust_env: bool

    def api_key(self, role: Role) -> str | None:
        """The role's key from the environment; it is sent to that role's servers and kept nowhere."""
        return os.environ.get(key_variable(role)) or None

    def client(self, role: Role, url: str, model: str | None, *, url_option: str | None = None) -> VllmClient:
        """An unopened client for a server; its key comes from the environment.

        ``url_option`` is the option that gave the URL, for messages (default: the role's own).
        """
        return VllmClient(
            self._endpoint(role, url, model),
            role=role,
            timeouts=self.timeouts,
            ca_bundle=self.ca_bundle,
            trust_env=self.trust_env,
            url_option=url_option,
        )

    def http_client(self, role: Role, url: str) -> httpx.AsyncClient:
        """A bare httpx client bound to a server, for requests of a project's own."""
        return bound_http_client(
            self._endpoint(role, url, None),
            timeout=httpx.Timeout(self.timeouts.between_tokens),
            ca_bundle=self.ca_bundle,
            trust_env=self.trust_env,
        )

    def _endpoint(self, role: Role, url: str, model: str | None) -> Endpoint:
        key = self.api_key(role)
        return Endpoint.parse(url, model=model, api_key=Secret(key) if key else None)


@dataclass(frozen=True)
class ProbedDevice:
    """A device that answered (``device``), or the reason why it cannot be measured (``problem``).

    In the store it is the JSON of its fields.
    """

    name: str
    device: Device | None = None
    problem: str | None = None

    def document(self) -> dict[str, Json]:
        """JSON form, for the store."""
        return asdict(self)


@dataclass(frozen=True)
class Waiting:
    """How long to wait for servers that are starting, in seconds, and whom to tell; ``run``: the run's id.

    ``at_once``: the most devices that are probed at the same time, None: all are.
    """

    patience_s: float
    tell: Callable[[str], None]
    run: str
    at_once: int | None = None


Met = tuple[ProbedDevice, Measurement[ServerFacts]]


def probe_all(addresses: Sequence[Address], access: Access, waiting: Waiting) -> tuple[Met, ...]:
    """Wait for all devices and probe them, side by side; each with its preflight measurement.

    A device that does not answer is a problem, not an exception.
    """
    return run_async(_probe_all(addresses, access, waiting))


async def _probe_all(addresses: Sequence[Address], access: Access, waiting: Waiting) -> tuple[Met, ...]:
    most = waiting.at_once
    slots: AbstractAsyncContextManager[object] = nullcontext() if most is None else asyncio.Semaphore(most)
    met = await asyncio.gather(*(_meet(address, access, waiting, slots) for address in addresses))
    return await _told_apart(dict(zip(addresses, met, strict=True)), access)


async def _told_apart(met: Mapping[Address, Met], access: Access) -> tuple[Met, ...]:
    """The same, with the hash of the answers of those that may be one server."""
    usable = {found.name: preflight.items[0] for found, preflight in met.values() if found.device is not None}
    suspects = [address for address in met if address.name in may_be_one(usable)]
    models = {found.name: found.device.model for found, _ in met.values() if found.device is not None}
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(access.client(each.role, each.url, models[each.name]))
            for each in suspects
        ]
        prints = await answer_prints(clients)
    told = {address.name: answers for address, answers in zip(suspects, prints, strict=True)}
    return tuple(
        (found, _with_answers(preflight, told[found.name]) if found.name in told else preflight)
        for found, preflight in met.values()
    )


def _with_answers(preflight: Measurement[ServerFacts], answers: str | None) -> Measurement[ServerFacts]:
    (facts,) = preflight.items
    return dataclasses.replace(preflight, items=(dataclasses.replace(facts, answers_sha256=answers),))


async def _meet(
    address: Address, access: Access, waiting: Waiting, slots: AbstractAsyncContextManager[object]
) -> Met:
    started = _now()
    async with access.client(address.role, address.url, address.model) as client:
        try:
            met = await knock(client, name=address.name, patience_s=waiting.patience_s, tell=waiting.tell)
        except RequestError as error:
            problem = say("{device}: {error}", device=address.name, error=error)
            return not_met(address.name, error.kind, problem, started=started)
        async with slots:
            return await _found(client, address, met, run=waiting.run, started=started)


async def _found(client: VllmClient, address: Address, met: Knock, *, run: str, started: str) -> Met:
    """What a server that answers is found to be; asks one request after the other."""
    facts = ServerFacts(
        run=run,
        addresses=await asyncio.to_thread(answers_to, client.endpoint.root),
        host=host_name(client.endpoint.root),
        waited_s=met.waited_s,
        listed=tuple(model.id for model in met.listed),
        clock_ahead_s=met.clock_ahead_s,
    )
    try:
        device = await probe(
            client, role=address.role, name=address.name, label=address.label, model=address.model
        )
    except RequestError as error:
        problem = say("{device}: {error}", device=address.name, error=error)
        facts = dataclasses.replace(facts, problem=problem)
        return ProbedDevice(address.name, problem=problem), _preflight(address.name, started, facts)
    date, date_trouble = await harmony_date(client)
    ids = await text_ids(client)
    facts = dataclasses.replace(
        facts,
        text=TEXT,
        text_ids=ids,
        greeting_ids=None if ids is not None else await greeting_ids(client),
        model=device.model,
        version=device.server_version,
        max_model_len=device.max_model_len,
        harmony_date=date,
        date_trouble=date_trouble,
        known=await told_by(client, address.log),
        started_s=await process_start(client),
    )
    identity = await read_identity(client)
    return ProbedDevice(address.name, device), _preflight(address.name, started, facts, identity)


def not_met(name: str, kind: str, problem: str, *, started: str | None = None) -> Met:
    """A device that no server answers for, with the preflight measurement that says so."""
    found = Failure("*", kind, problem)
    return ProbedDevice(name, problem=problem), _preflight(name, started or _now(), found)


def _preflight(
    name: str, started: str, found: ServerFacts | Failure, identity: ServerIdentity | None = None
) -> Measurement[ServerFacts]:
    told = isinstance(found, ServerFacts)
    return Measurement(
        scenario_id=Preflight(name).id,
        device=name,
        items=(found,) if isinstance(found, ServerFacts) else (),
        failures=(found,) if isinstance(found, Failure) else (),
        complete=told,
        started=started,
        ended=_now(),
        provenance={} if identity is None else provenance_of(after=(identity,)),
    )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
