"""The devices of a run: probed once, and how each is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pytest_gptoss.client.connection import proxy_variables
from pytest_gptoss.client.http import Timeouts, VllmClient
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.model.errors import MeasurementError, ReferenceServerError
from pytest_gptoss.model.message import say
from pytest_gptoss.model.serve_command import ServeCommand
from pytest_gptoss.model.subjects import LOGPROBS, Device
from pytest_gptoss.run.baseline import Baseline
from pytest_gptoss.run.probed import probed_devices
from pytest_gptoss.run.probing import probe_devices
from pytest_gptoss.run.stopwatch import Stopwatch
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.devices import Access, ProbedDevice, Waiting
from pytest_gptoss.scenarios.scenario import Scenario
from pytest_gptoss.scenarios.state_recovery import Recovery
from pytest_gptoss.servers.started import Servers

__all__ = ["RunDevices"]


class RunDevices:
    """Every device that the settings name, as it was probed; addresses and clients to ask it.

    ``baseline`` stands in for the devices it holds. Probing waits for servers, tells of that by ``tell``,
    and is counted by ``stopwatch``.

    Devices whose servers the run starts by the user's command lines take turns: each is probed when its
    server runs, and ``in_turn`` then measures all that is needed of it before the next one is started.
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
        self._under_way = False
        self._turn: str | None = None
        self.in_turn: Callable[[str], None] = lambda _: None

    def probed(self) -> Mapping[str, ProbedDevice]:
        """Every device of the run, probed once for all processes that share the store."""
        if self._probed or self._under_way:
            return self._probed
        with self._stopwatch, self._store.lock():
            found = probed_devices(self._store)
            if found is None and self._settings.replay is not None:
                raise MeasurementError(
                    say("the replayed run ended before its devices were probed: there is nothing to judge")
                )
            if found is None:
                found = self._probe_all()
                self._store.save_document("devices", [each.document() for each in found])
        self._probed = {each.name: each for each in found}
        return self._probed

    def answering(self) -> dict[str, Device]:
        """Every device that answers, by name."""
        return {name: each.device for name, each in self.probed().items() if each.device is not None}

    def reachable(self) -> list[str]:
        """Names of the devices that answer and, while managed ones take turns, need no other's turn."""
        return [name for name in self.answering() if self._turn in (None, name) or not self.is_managed(name)]

    def is_managed(self, name: str) -> bool:
        """Whether the run starts a device's server by the user's command line."""
        return self.settings_of(name).serve is not None and self._settings.replay is None

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
        if settings.serve is not None:
            return self._managed_url(name, name, settings.serve)
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
        settings = self.settings_of(device.name)
        pooling_server = settings.hidden
        if settings.pooling is not None and self._needs_variant(device):
            url = self._managed_url(device.name, f"{device.name}-pooling", settings.pooling)
            return self.access().client(device.role, url, None)
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

    # -- managed servers ----------------------------------------------------------------------

    def by_turn(self, scenarios: Sequence[Scenario]) -> Iterator[list[Scenario]]:
        """Scenarios in groups that can be measured at once; the server that a group needs runs by then.

        Raises MeasurementError when that server does not start.
        """
        groups: dict[tuple[str, bool] | None, list[Scenario]] = {}
        for each in scenarios:
            groups.setdefault(self._server_of(each), []).append(each)
        for server, group in groups.items():
            if server is not None:
                device = self.device(server[0])
                (self.hidden_client if server[1] else self.client)(device)
            yield group

    def _server_of(self, scenario: Scenario) -> tuple[str, bool] | None:
        """The managed server that a scenario asks: the device's name, and whether its pooling variant."""
        if not self.is_managed(scenario.device):
            return None
        return scenario.device, scenario.hidden_source and self._needs_variant(self.device(scenario.device))

    def _needs_variant(self, device: Device) -> bool:
        """Whether a device's hidden states come from the pooling variant of its command."""
        settings = self.settings_of(device.name)
        pooled = device.capabilities.pooling or self._is_recoverable(device)
        return settings.pooling is not None and settings.hidden is None and not pooled

    def _is_recoverable(self, device: Device) -> bool:
        return self._settings.lm_head is not None and self._is_recovered(device)

    def _managed_url(self, device: str, server: str, command: ServeCommand) -> str:
        log = self._settings.report / "servers" / f"{server}.log"
        try:
            return self._servers.card.url(server, command, log)
        except ReferenceServerError as error:
            raise MeasurementError(say("{where}: {error}", where=device, error=error)) from None

    def _probe_all(self) -> tuple[ProbedDevice, ...]:
        """Probe every device; managed ones take turns, the baseline first: others rest on its answers."""
        managed = [each for each in self._settings.devices if each.serve is not None]
        managed.sort(key=lambda each: each.role == "npu")
        self._under_way = True
        try:
            others = [each for each in self._settings.devices if each.serve is None]
            self._probed = {each.name: each for each in self._probe(others)}
            # What rests on the answers of one that comes later is measured in a second turn.
            for each in (*managed, *managed):
                self._take_turn(each)
        finally:
            self._under_way, self._turn = False, None
        if len(managed) > 1:
            self._servers.card.end()
        return tuple(self._probed.values())

    def _take_turn(self, settings: DeviceSettings) -> None:
        self._turn = settings.name
        if settings.name not in self._probed:
            (found,) = self._probe([settings])
            self._probed[settings.name] = found
        if self._probed[settings.name].device is not None:
            self.in_turn(settings.name)

    def _probe(self, devices: Sequence[DeviceSettings]) -> tuple[ProbedDevice, ...]:
        run_id = self._store.load_document("id", str) or ""
        fleet = self._settings.fleet
        at_once = None if fleet is None else fleet.in_flight
        found, preflights = probe_devices(
            devices,
            url=self.url,
            access=self.access(),
            waiting=Waiting(self._settings.ready_timeout_s, self._tell, run_id, at_once),
            recorded={} if self._baseline is None else self._baseline.devices,
        )
        for preflight in preflights:
            self._store.save(preflight)
        return found
