"""Who is asked: every device probed once, and an honest account of those that do not answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from pytest_gptoss.client.connection import bound_http_client
from pytest_gptoss.client.endpoint import Endpoint, Secret
from pytest_gptoss.client.http import Timeouts, VllmClient
from pytest_gptoss.client.probe import probe
from pytest_gptoss.errors import RequestError
from pytest_gptoss.measure.runner import run_async
from pytest_gptoss.records import Capabilities, Device, Json, Role

__all__ = ["Access", "Address", "ProbedDevice", "probe_all"]


@dataclass(frozen=True)
class Address:
    """Where a device is reached, as the user gave it."""

    role: Role
    name: str
    url: str
    label: str | None
    model: str | None


@dataclass(frozen=True)
class Access:
    """How devices are reached: time-outs in seconds, certificates, proxies, and the key's variable."""

    timeout_s: float
    first_token_timeout_s: float | None
    ca_bundle: Path | None
    trust_env: bool

    def api_key(self, role: Role) -> str | None:
        """The role's key from the environment; it is sent to that role's servers and kept nowhere."""
        return os.environ.get(f"GPTOSS_{role.upper()}_API_KEY") or None

    def client(self, role: Role, url: str, model: str | None, *, url_option: str | None = None) -> VllmClient:
        """An unopened client for a server; its key comes from the environment.

        ``url_option`` is the option that gave the URL, for messages (default: the role's own).
        """
        return VllmClient(
            self._endpoint(role, url, model),
            role=role,
            timeouts=Timeouts(first_token=self.first_token_timeout_s, between_tokens=self.timeout_s),
            ca_bundle=self.ca_bundle,
            trust_env=self.trust_env,
            url_option=url_option,
        )

    def http_client(self, role: Role, url: str) -> httpx.AsyncClient:
        """A bare httpx client bound to a server, for requests of a project's own."""
        return bound_http_client(
            self._endpoint(role, url, None),
            timeout=httpx.Timeout(self.timeout_s),
            ca_bundle=self.ca_bundle,
            trust_env=self.trust_env,
        )

    def _endpoint(self, role: Role, url: str, model: str | None) -> Endpoint:
        key = self.api_key(role)
        return Endpoint.parse(url, model=model, api_key=Secret(key) if key else None)


@dataclass(frozen=True)
class ProbedDevice:
    """A device that answered (``device``), or the reason why it cannot be measured (``problem``)."""

    name: str
    device: Device | None = None
    problem: str | None = None

    def document(self) -> dict[str, Json]:
        """JSON form, for the store."""
        return {
            "name": self.name,
            "device": None if self.device is None else asdict(self.device),
            "problem": self.problem,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Json]) -> ProbedDevice:
        """The inverse of ``document``."""
        fields = document["device"]
        if fields is None:
            return cls(document["name"], None, document["problem"])
        capabilities = Capabilities(**fields["capabilities"])
        return cls(document["name"], Device(**{**fields, "capabilities": capabilities}), document["problem"])


def probe_all(addresses: Sequence[Address], access: Access) -> dict[str, ProbedDevice]:
    """Probe all devices side by side; a device that does not answer is a problem, not an exception."""
    return run_async(_probe_all(addresses, access))


async def _probe_all(addresses: Sequence[Address], access: Access) -> dict[str, ProbedDevice]:
    probed = await asyncio.gather(*(_probe(address, access) for address in addresses))
    return {each.name: each for each in probed}


async def _probe(address: Address, access: Access) -> ProbedDevice:
    try:
        async with access.client(address.role, address.url, address.model) as client:
            device = await probe(
                client, role=address.role, name=address.name, label=address.label, model=address.model
            )
    except RequestError as error:
        return ProbedDevice(address.name, problem=f"{address.name}: {error}")
    return ProbedDevice(address.name, device)
