"""The devices of a run: probed once, and how each is reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_gptoss.client.connection import proxy_variables
from pytest_gptoss.client.http import Timeouts, VllmClient
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.model.errors import MeasurementError
from pytest_gptoss.model.message import say
from pytest_gptoss.model.subjects import LOGPROBS, Device
from pytest_gptoss.run.baseline import Baseline
from pytest_gptoss.run.probed import probed_devices
from pytest_gptoss.run.probing import probe_devices
from pytest_gptoss.run.stopwatch import Stopwatch
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.devices import Access, ProbedDevice, Waiting
from pytest_gptoss.scenarios.state_recovery import Recovery
from pytest_gptoss.servers.started import Servers

__all__ = ["RunDevices"]


class RunDevices:
    """Every device that the settings name, as it was probed; addresses and clients to ask it.

    ``baseline`` stands in for the devices it holds. Probing waits for servers, tells of that by ``tell``,
    and is counted by ``stopwatch``.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        servers: Servers,
        *,
        baseline: Baseline | None,
        stopwatch: Stopwatch,
        tell: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._servers = servers
        self._baseline = baseline
        self._stopwatch = stopwatch
        self._tell = tell
        self._probed: dict[str, ProbedDevice] = {}

    def probed(self) -> Mapping[str, ProbedDevice]:
        """Every device of the run, probed once for all processes that share the store."""
        if self._probed:
            return self._probed
        with self._stopwatch, self._store.lock():
            found = probed_devices(self._store)
            if found is None and self._settings.replay is not None:
                raise MeasurementError(
                    say("the replayed run ended before its devices were probed: there is nothing to judge")
                )
            if found is None:
                found = self._probe()
                self._store.save_document("devices", [each.document() for each in found])
        self._probed = {each.name: each for each in found}
        return self._probed

    def answering(self) -> dict[str, Device]:
        """Every device that answers, by name."""
        return {name: each.device for name, each in self.probed().items() if each.device is not None}

    def device(self, name: str) -> Device:
        """A device by name; raises MeasurementError with the reason when it does not answer."""
        probed = self.probed().get(name)
        if probed is None:
            raise MeasurementError(
                say(
                    "no device is called {name}; there are: {names}",
                    name=repr(name),
                    names=", ".join(self.probed()),
                )
            )
        if probed.device is None:
            raise MeasurementError(probed.problem or say("{name} does not answer", name=name))
        return probed.device

    def settings_of(self, name: str) -> DeviceSettings:
        """What the user said of a device."""
        return next(device for device in self._settings.devices if device.name == name)

    def url(self, name: str) -> str:
        """The address a device is reached at; raises MeasurementError when it has none."""
        settings = self.settings_of(name)
        if settings.url is not None:
            return settings.url
        if settings.recorded or self._settings.replay is not None:
            raise MeasurementError(say("{name} was recorded: there is no server to ask", name=name))
        started = self._servers.started()
        if name in started.problems:
            raise MeasurementError(say("{where}: {error}", where=name, error=started.problems[name]))
        return started.urls[name]

    def proxies(self) -> tuple[str, ...]:
        """Names of the environment's variables whose proxy would apply to a device of this run."""
        roots = (device.url for device in self.answering().values())
        return tuple(sorted({name for root in roots if root for name in proxy_variables(root)}))

    def access(self) -> Access:
        """How this run reaches servers."""
        settings = self._settings
        return Access(
            timeouts=Timeouts(first_token=settings.first_token_timeout_s, between_tokens=settings.timeout_s),
            ca_bundle=settings.ca_bundle,
            trust_env=settings.trust_env,
        )

    def client(self, device: Device) -> VllmClient:
        """An unopened client for a device."""
        return self.access().client(device.role, self.url(device.name), device.model)

    def hidden_client(self, device: Device) -> VllmClient:
        """An unopened client for the server of a device's hidden states, which may be another server."""
        pooling_server = self.settings_of(device.name).hidden
        if pooling_server in (None, LOGPROBS):
            return self.client(device)
        option = f"--gptoss-hidden-{device.role}"
        return self.access().client(device.role, str(pooling_server), None, url_option=option)

    def recovery(self) -> Recovery | None:
        """How hidden states are recovered from log-probabilities; None without an lm_head.

        Of the devices that are told to, and of those without ``/pooling`` that no other source is named for.
        """
        head = self._settings.lm_head
        if head is None:
            return None
        found = frozenset(name for name, device in self.answering().items() if self._is_recovered(device))
        return Recovery(head, self._settings.hidden_positions, found)

    def _is_recovered(self, device: Device) -> bool:
        source = self.settings_of(device.name).hidden
        return source == LOGPROBS or (source is None and not device.capabilities.pooling)

    def _probe(self) -> tuple[ProbedDevice, ...]:
        run_id = self._store.load_document("id", str) or ""
        found, preflights = probe_devices(
            self._settings.devices,
            url=self.url,
            access=self.access(),
            waiting=Waiting(self._settings.ready_timeout_s, self._tell, run_id),
            recorded={} if self._baseline is None else self._baseline.devices,
        )
        for preflight in preflights:
            self._store.save(preflight)
        return found
