"""One acceptance run: devices, measurements and verdicts, each made once and only when asked for.

This is the whole suite without pytest: the plugin asks it for verdicts, the command asks it too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pytest_gptoss.client.connection import ignored_proxy_variables
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.errors import GptossError, InsufficientData, MeasurementError
from pytest_gptoss.findings import info_name
from pytest_gptoss.judge.catalogue import INFO, Metric, Roles
from pytest_gptoss.judge.verdicts import invalid, judge, skipped, waived
from pytest_gptoss.measure.baseline import Baseline, read_baseline, record_baseline
from pytest_gptoss.measure.devices import Access, Address, ProbedDevice, probe_all
from pytest_gptoss.measure.hidden_file import read_hidden
from pytest_gptoss.measure.progress import Progress
from pytest_gptoss.measure.runner import Runner
from pytest_gptoss.measure.store import Store
from pytest_gptoss.plan import Plan
from pytest_gptoss.records import (
    Device,
    Estimate,
    Failure,
    Forced,
    Greedy,
    Hidden,
    Json,
    Measurement,
    Rendered,
    Scenario,
    Threshold,
    Verdict,
)
from pytest_gptoss.replay import run_facts
from pytest_gptoss.report.document import finite
from pytest_gptoss.servers import Servers
from pytest_gptoss.settings import DeviceSettings, Settings

__all__ = ["AcceptanceRun"]


class AcceptanceRun:
    """Answers ``verdict(npu, threshold id)``; measures what that needs and no more.

    ``urls`` are addresses of servers that another process has started for this run (pytest-xdist's
    controller); without it the run starts what its settings tell it to start.
    """

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        *,
        tell: Callable[[str], None],
        urls: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self.plan = plan
        self.store = Store(settings.report / "run")
        self.servers = Servers(settings, tell=tell, urls=urls)
        self.baseline: Baseline | None = (
            read_baseline(settings.baseline) if settings.baseline is not None else None
        )
        if self.baseline is not None:
            self.baseline.refuse_if_different({**plan.workload.facts(), "inputs": settings.inputs})
        self._tell = tell
        self._probed: dict[str, ProbedDevice] = {}
        self._verdicts: dict[tuple[str, str], Verdict] = {}

    # -- beginning and end --------------------------------------------------------------------

    def begin(self) -> None:
        """Make the store: empty, or filled with the recorded baseline or the run to replay."""
        replay = self.settings.replay
        if replay is None:
            self.store.begin()
        else:
            self.store.adopt(replay / "run")
        self.store.save_document("run", run_facts(self.settings, self.plan.profile.name))
        if self.baseline is not None:
            self.baseline.fill(self.store)

    def record(self) -> tuple[str, ...]:
        """Write the baseline file the user asked for; returns the scenarios it holds."""
        path = self.settings.record
        if path is None:
            return ()
        roles = {device.name: device.role for device in self.settings.devices}
        devices = {
            name: probed.document()
            for name, probed in self.probed().items()
            if roles.get(name) in ("gpu", "cpu") and probed.device is not None
        }
        facts = {**self.plan.workload.facts(), "inputs": self.settings.inputs}
        return record_baseline(path, self.store, devices, facts)

    def close(self) -> None:
        """Stop the servers this run has started."""
        self.servers.stop()

    # -- devices ------------------------------------------------------------------------------

    def probed(self) -> Mapping[str, ProbedDevice]:
        """Every device of the run, probed once for all processes that share the store."""
        if self._probed:
            return self._probed
        with self.store.lock():
            document = self.store.load_document("devices")
            if document is None:
                document = [each.document() for each in self._probe().values()]
                self.store.save_document("devices", document)
        self._probed = {each["name"]: ProbedDevice.from_document(each) for each in document}
        return self._probed

    def device(self, name: str) -> Device:
        """A device by name; raises MeasurementError with the reason when it does not answer."""
        probed = self.probed().get(name)
        if probed is None:
            raise MeasurementError(f"no device is called {name!r}; there are: {', '.join(self.probed())}")
        if probed.device is None:
            raise MeasurementError(probed.problem or f"{name} does not answer")
        return probed.device

    def url(self, name: str) -> str:
        """The address a device is reached at; raises MeasurementError when it has none."""
        settings = self._settings_of(name)
        url = settings.url or self.servers.urls().get(name)
        if url is None:
            raise MeasurementError(f"{name} was recorded: there is no server to ask")
        return url

    def ignored_proxies(self) -> tuple[str, ...]:
        """Names of proxy variables in the environment that this run does not use."""
        roots = (each.device.url for each in self.probed().values() if each.device is not None)
        trust = self.settings.trust_env
        names = {name for root in roots if root for name in ignored_proxy_variables(root, trust_env=trust)}
        return tuple(sorted(names))

    def access(self) -> Access:
        """How this run reaches servers."""
        return Access(
            timeout_s=self.settings.timeout_s,
            first_token_timeout_s=self.settings.first_token_timeout_s,
            ca_bundle=self.settings.ca_bundle,
            trust_env=self.settings.trust_env,
        )

    def _settings_of(self, name: str) -> DeviceSettings:
        return next(device for device in self.settings.devices if device.name == name)

    def _recorded(self, name: str) -> bool:
        return self.baseline is not None and name in self.baseline.devices

    def _probe(self) -> dict[str, ProbedDevice]:
        addresses = [
            Address(device.role, device.name, self.url(device.name), device.label, device.model)
            for device in self.settings.devices
            if not self._recorded(device.name)
        ]
        probed = probe_all(addresses, self.access())
        if self.baseline is not None:
            recorded = self.baseline.devices
            probed.update({name: ProbedDevice.from_document(each) for name, each in recorded.items()})
        return probed

    # -- measuring ----------------------------------------------------------------------------

    def measure(self, *scenarios: Scenario) -> tuple[Measurement[Any], ...]:
        """The measurements of these scenarios, made now if they were not before.

        Raises MeasurementError when a device cannot be measured at all.
        """
        with self.store.lock():
            self._ensure(scenarios)
        return tuple(self._stored(scenario) for scenario in scenarios)

    def _ensure(self, scenarios: Iterable[Scenario]) -> None:
        missing = [each for each in dict.fromkeys(scenarios) if self.store.load(each.id) is None]
        if not missing:
            return
        for scenario in missing:
            self._refuse_unmeasurable(scenario)
        self._ensure(earlier for scenario in missing for earlier in _rests_on(scenario))
        for_servers = []
        for scenario in missing:
            ready = self._without_server(scenario) if isinstance(scenario, Hidden) else None
            if ready is None:
                for_servers.append(scenario)
            else:
                self.store.save(ready)
        if for_servers:
            self._runner().measure(for_servers)

    def _stored(self, scenario: Scenario) -> Measurement[Any]:
        measurement = self.store.load(scenario.id)
        if measurement is None:
            raise MeasurementError(f"{scenario.id} was not measured")
        return measurement

    def _refuse_unmeasurable(self, scenario: Scenario) -> None:
        if self.settings.replay is not None:
            raise MeasurementError(f"the replayed run did not measure {scenario.id}: measure it in a new run")
        self.device(scenario.device)
        if self._recorded(scenario.device) and not (
            isinstance(scenario, Hidden) and self._settings_of(scenario.device).hidden
        ):
            raise MeasurementError(
                f"the recorded baseline holds no {scenario.id}: record it again with the tests selected now"
            )

    def _without_server(self, scenario: Hidden) -> Measurement[Any] | None:
        """Hidden states from a file, or the account of why none can be had; None: ask a server."""
        device, source = self.device(scenario.device), self._settings_of(scenario.device).hidden
        if source is not None and "://" not in source:
            return read_hidden(
                self.settings.report.parent / source,
                scenario_id=scenario.id,
                device=scenario.device,
                corpus_sha256=self.plan.workload.corpus_sha256,
            )
        if source is None and not device.capabilities.pooling:
            message = (
                f"{device.name} serves no /pooling: start a pooling server and name it with "
                f"--gptoss-hidden-{device.role} URL, or record a file with 'pytest-gptoss hidden', "
                "or waive this threshold"
            )
            return Measurement(
                scenario.id, scenario.device, (), (Failure("*", "unsupported", message),), complete=False
            )
        return None

    def _runner(self) -> Runner:
        devices = {name: each.device for name, each in self.probed().items() if each.device is not None}
        return Runner(
            devices=devices,
            client=lambda name: self.access().client(devices[name].role, self.url(name), devices[name].model),
            hidden_client=lambda name: self._hidden_client(devices[name]),
            workload=self.plan.workload,
            store=self.store,
            progress=Progress(self._tell),
        )

    def _hidden_client(self, device: Device) -> VllmClient:
        pooling_server = self._settings_of(device.name).hidden
        if pooling_server is None:
            return self.access().client(device.role, self.url(device.name), device.model)
        option = f"--gptoss-hidden-{device.role}"
        return self.access().client(device.role, pooling_server, None, url_option=option)

    # -- judging ------------------------------------------------------------------------------

    def roles(self, npu: str) -> Roles:
        """The devices that play in a verdict about ``npu``."""
        present = {device.role for device in self.settings.devices}
        return Roles(
            npu=npu,
            gpu="gpu" if "gpu" in present else None,
            cpu="cpu" if "cpu" in present else None,
            prompt_ids_of="gpu" if self.settings.inputs == "token-ids" and "gpu" in present else None,
        )

    def verdict(self, npu: str, threshold_id: str) -> Verdict:
        """Judge one threshold on one device; never raises for what a server did."""
        threshold = self.plan.thresholds[threshold_id]
        reason = (self.settings.waivers or {}).get(threshold_id)
        return self._judged(npu, threshold) if reason is None else waived(threshold, npu, reason)

    def _judged(self, npu: str, threshold: Threshold) -> Verdict:
        """The verdict as measured, waived or not: others may rest on it; computed once."""
        key = (npu, threshold.id)
        if key not in self._verdicts:
            self._verdicts[key] = self._judge(npu, threshold)
        return self._verdicts[key]

    def _judge(self, npu: str, threshold: Threshold) -> Verdict:
        metric = self.plan.metrics[threshold.metric]
        roles = self.roles(npu)
        if metric.condition == "cpu" and roles.cpu is None:
            return skipped(threshold, npu, "no CPU reference: add --cpu-url URL or --gptoss-cpu-model DIR")
        if metric.baseline and roles.gpu is None:
            return invalid(
                threshold, npu, "no baseline to compare with: add --gpu-url URL or --gptoss-baseline FILE"
            )
        try:
            blocked = self._blocked_by(npu, metric)
            if blocked is not None:
                return invalid(threshold, npu, blocked)
            verdict = judge(threshold, npu, self._estimate(metric, roles))
        except (InsufficientData, MeasurementError) as error:
            return invalid(threshold, npu, str(error))
        except GptossError as error:
            return invalid(threshold, npu, f"{type(error).__name__}: {error}")
        self._note_beside(npu, metric, roles)
        return verdict

    def _estimate(self, metric: Metric, roles: Roles) -> Estimate:
        needs = metric.needs(roles)
        measured = dict(zip(needs, self.measure(*needs.values()), strict=True))
        return metric.compute(**measured)

    def _note_beside(self, npu: str, metric: Metric, roles: Roles) -> None:
        """Measure what is printed beside a metric, all devices side by side, and keep it."""
        beside = {name: INFO[name] for name in metric.beside if roles.gpu or not INFO[name].baseline}
        scenarios = [scenario for each in beside.values() for scenario in each.needs(roles).values()]
        with contextlib.suppress(GptossError):  # told below, by the figure that it leaves unknown
            self.measure(*scenarios)
        for name, each in beside.items():
            self._note(npu, name, each, roles)

    def _note(self, npu: str, name: str, metric: Metric, roles: Roles) -> None:
        """Keep an info metric; what it could not have is said, and nothing else happens."""
        try:
            estimate = self._estimate(metric, roles)
        except GptossError as error:
            document: dict[str, Json] = {"value": None, "unit": None, "n": None, "ci": None, "details": {},
                                         "finding": f"{name} is not known: {error}"}  # fmt: skip
        else:
            document = {
                "value": estimate.value,
                "unit": estimate.unit,
                "n": estimate.n,
                "ci": None if estimate.interval is None else list(estimate.interval),
                "details": finite(dict(estimate.details)),
                "finding": estimate.details.get("finding"),
            }
        self.store.save_document(info_name(npu, name), document)

    def _blocked_by(self, npu: str, metric: Metric) -> str | None:
        """Why a metric means nothing: the first threshold it rests on that does not hold."""
        for threshold_id in metric.rests_on:
            threshold = self.plan.thresholds.get(threshold_id)
            if threshold is None:
                continue
            verdict = self._judged(npu, threshold)
            if verdict.status in ("FAIL", "INVALID"):
                return f"{threshold_id} does not hold: {verdict.reason}"
        return None


def _rests_on(scenario: Scenario) -> tuple[Scenario, ...]:
    """Scenarios whose results this one sends again."""
    if isinstance(scenario, Greedy) and scenario.prompt_ids_of is not None:
        return (Rendered(scenario.prompt_ids_of, scenario.prompts),)
    if isinstance(scenario, Forced) and scenario.outputs is not None:
        return (scenario.outputs,)
    return ()
