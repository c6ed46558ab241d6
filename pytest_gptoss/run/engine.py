"""One acceptance run: devices, measurements and verdicts, each made once and only when asked for.

This is the whole suite without pytest: the plugin asks it for verdicts, the command asks it too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_gptoss.client.connection import proxy_variables
from pytest_gptoss.client.http import Timeouts, VllmClient
from pytest_gptoss.config.plan import Plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.judge.gates import gates
from pytest_gptoss.judge.instrument import why_too_coarse
from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.judge.verdicts import invalid, judge, skipped, waived
from pytest_gptoss.model.errors import (
    ConditionAbsent,
    GptossError,
    InsufficientData,
    MeasurementError,
    UsageError,
)
from pytest_gptoss.model.finite import finite
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.results import Failure, Measurement
from pytest_gptoss.model.subjects import Device, ServerIdentity
from pytest_gptoss.model.verdicts import Estimate, Threshold, Verdict
from pytest_gptoss.run.baseline import Baseline, read_baseline, record_baseline
from pytest_gptoss.run.instrument import ensure_calibrated, instrument_errors, instrument_problems
from pytest_gptoss.run.probed import probed_devices
from pytest_gptoss.run.progress import Progress
from pytest_gptoss.run.replay import run_facts
from pytest_gptoss.run.scheduler import Runner
from pytest_gptoss.run.servers_seen import RECORDED
from pytest_gptoss.run.store import Store, info_name
from pytest_gptoss.scenarios.context_budget import context_needed
from pytest_gptoss.scenarios.devices import (
    Access,
    Address,
    Met,
    ProbedDevice,
    Waiting,
    not_met,
    probe_all,
)
from pytest_gptoss.scenarios.hidden_file import read_hidden
from pytest_gptoss.scenarios.kinds import Load, Scenario
from pytest_gptoss.scenarios.load_plan import why_absent
from pytest_gptoss.servers.started import Servers, Started

__all__ = ["AcceptanceRun"]


class AcceptanceRun:
    """Answers ``verdict(npu, threshold id)``; measures what that needs and no more.

    ``started`` tells of the servers that another process has started for this run (pytest-xdist's
    controller); without it the run starts what its settings tell it to start.
    """

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        *,
        tell: Callable[[str], None],
        started: Started | None = None,
    ) -> None:
        self.settings = settings
        self.plan = plan
        self.store = Store(settings.report / "run")
        self.servers = Servers(settings, tell=tell, started=started)
        self.baseline: Baseline | None = (
            read_baseline(settings.baseline) if settings.baseline is not None else None
        )
        if self.baseline is not None:
            self.baseline.refuse_if_different({**plan.workload.facts(), "inputs": settings.inputs})
        if settings.prompts is not None and settings.replayed_workload is not None:
            _refuse_other_prompts(plan.workload.facts(), settings.replayed_workload)
        self.selected: frozenset[tuple[str, str]] | None = None
        """The rows (npu, threshold id) that the user asked for; None: any may be asked."""
        self.measured_s = 0.0
        """Seconds spent so far on measuring, or on waiting for another process that measures."""
        self._tell = tell
        self._probed: dict[str, ProbedDevice] = {}
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        self._expected: frozenset[Load] = frozenset()
        self._seen: dict[str, ServerIdentity] = {}

    # -- beginning and end --------------------------------------------------------------------

    def begin(self) -> None:
        """Make the store: empty, or filled with the recorded baseline or the run to replay.

        Raises StoreError when another run has the directory, or something else is in the way.
        """
        self.store.claim()
        replay = self.settings.replay
        if replay is None:
            self.store.begin()
        else:
            self.store.adopt(replay / "run")
        self.store.save_document("run", run_facts(self.settings, self.plan.profile.name, self.facts()))
        if replay is None:
            self.store.save_document("id", uuid.uuid4().hex)
        if self.baseline is not None:
            self.baseline.fill(self.store, self._recorded_names())
            source = {"file": self.baseline.path.name, "devices": list(self._recorded_names())}
            self.store.save_document(RECORDED, source)

    def facts(self) -> Mapping[str, Json]:
        """What the measurements rest on: this run's workload, or that of the run it replays."""
        return self.settings.replayed_workload or self.plan.workload.facts()

    def record(self) -> tuple[str, ...]:
        """Write the baseline file the user asked for; returns the scenarios it holds.

        Nobody is asked for it: what an interruption has left unmeasured is not there, and where nothing
        is there an earlier file stays.
        """
        path = self.settings.record
        if path is None:
            return ()
        roles = {device.name: device.role for device in self.settings.devices}
        probed = probed_devices(self.store) or ()
        devices = {
            each.name: each.document()
            for each in probed
            if roles.get(each.name) in ("gpu", "cpu") and each.device is not None
        }
        facts = {**self.plan.workload.facts(), "inputs": self.settings.inputs}
        kept = record_baseline(path, self.store, devices, facts) if "gpu" in devices else ()
        if not kept:
            stays = "the one that is there stays" if path.exists() else "it is not written"
            self._tell(f"gptoss: no baseline was measured for {path.name}: {stays}")
        return kept

    def close(self) -> None:
        """Stop the servers this run has started, and leave the report directory to others."""
        self.servers.stop()
        self.store.release()

    # -- devices ------------------------------------------------------------------------------

    def probed(self) -> Mapping[str, ProbedDevice]:
        """Every device of the run, probed once for all processes that share the store."""
        if self._probed:
            return self._probed
        with self._measuring(), self.store.lock():
            found = probed_devices(self.store)
            if found is None and self.settings.replay is not None:
                raise MeasurementError(
                    "the replayed run ended before its devices were probed: there is nothing to judge"
                )
            if found is None:
                found = tuple(self._probe().values())
                self.store.save_document("devices", [each.document() for each in found])
        self._probed = {each.name: each for each in found}
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
        if settings.url is not None:
            return settings.url
        if settings.recorded or self.settings.replay is not None:
            raise MeasurementError(f"{name} was recorded: there is no server to ask")
        started = self.servers.started()
        if name in started.problems:
            raise MeasurementError(f"{name}: {started.problems[name]}")
        return started.urls[name]

    def proxies(self) -> tuple[str, ...]:
        """Names of the environment's variables whose proxy would apply to a device of this run."""
        roots = (each.device.url for each in self.probed().values() if each.device is not None)
        return tuple(sorted({name for root in roots if root for name in proxy_variables(root)}))

    def access(self) -> Access:
        """How this run reaches servers."""
        settings = self.settings
        return Access(
            timeouts=Timeouts(first_token=settings.first_token_timeout_s, between_tokens=settings.timeout_s),
            ca_bundle=settings.ca_bundle,
            trust_env=settings.trust_env,
        )

    def _settings_of(self, name: str) -> DeviceSettings:
        return next(device for device in self.settings.devices if device.name == name)

    def _recorded_names(self) -> tuple[str, ...]:
        return tuple(device.name for device in self.settings.devices if device.recorded)

    def _probe(self) -> dict[str, ProbedDevice]:
        addresses: list[Address] = []
        met: list[Met] = []
        for device in self.settings.devices:
            if device.recorded:
                continue
            try:
                url = self.url(device.name)
            except MeasurementError as error:  # it was to be started here, and did not
                met.append(not_met(device.name, "start", str(error)))
            else:
                addresses.append(
                    Address(device.role, device.name, url, device.label, device.model, device.log)
                )
        waiting = Waiting(
            self.settings.ready_timeout_s, self._tell, self.store.load_document("id", str) or ""
        )
        probed = {}
        for found, preflight in (*met, *probe_all(addresses, self.access(), waiting)):
            probed[found.name] = found
            self.store.save(preflight)
        for device in self.settings.devices:
            if device.recorded and self.baseline is not None:
                probed[device.name] = _recorded(self.baseline.devices[device.name], device.label)
        return probed

    # -- measuring ----------------------------------------------------------------------------

    def expect(self, rows: Iterable[tuple[str, str]]) -> None:
        """Learn which (npu, threshold id) this run will be asked for: load levels are repeated together."""
        self._expected = frozenset(
            level for npu, threshold_id in rows for level in self._levels_of(npu, threshold_id)
        )

    def measure(self, *scenarios: Scenario) -> tuple[Measurement[Any], ...]:
        """The measurements of these scenarios, made now if they were not before.

        Raises MeasurementError when a device cannot be measured at all.
        """
        with self._measuring(), self.store.lock():
            self._ensure(scenarios)
        return tuple(self._stored(scenario) for scenario in scenarios)

    @contextlib.contextmanager
    def _measuring(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.measured_s += time.monotonic() - began

    def _ensure(self, scenarios: Iterable[Scenario]) -> None:
        self.probed()  # the preflight is measured there
        missing = self._missing(scenarios)
        if not missing:
            return
        for scenario in missing:
            self._refuse_unmeasurable(scenario)
        self._ensure(earlier for scenario in missing for earlier in scenario.depends_on)
        missing = self._missing(missing)  # some follow from what they depend on
        self._put_under_load([each for each in missing if isinstance(each, Load)])
        for_servers = []
        for scenario in missing:
            if isinstance(scenario, Load):
                continue
            ready = self._without_server(scenario) if scenario.hidden_source else None
            if ready is None:
                for_servers.append(scenario)
            else:
                self.store.save(ready)
        if for_servers:
            self._runner().measure(for_servers)

    def _missing(self, scenarios: Iterable[Scenario]) -> list[Scenario]:
        """Scenarios that are not in the store; what follows from others that are is put there first."""
        return [
            each
            for each in dict.fromkeys(scenarios)
            if self.store.load(each.id) is None and not self._follows(each)
        ]

    def _follows(self, scenario: Scenario) -> bool:
        """Keep what stored measurements tell of it; False where they do not, or a server must be asked."""
        loaded = {each.id: self.store.load(each.id) for each in scenario.depends_on}
        stored = {name: each for name, each in loaded.items() if each is not None}
        if not stored:
            return False
        may_ask = self.settings.replay is None and not self._settings_of(scenario.device).recorded
        found = scenario.follows(stored, self.plan.workload, may_ask=may_ask)
        if found is not None:
            self.store.save(found)
        return found is not None

    def _put_under_load(self, asked: Sequence[Load]) -> None:
        """Measure load levels, each on one device and then on the others, so that drift hits all.

        With several trials all levels of the run take part, one sweep after the other.
        """
        if not asked:
            return
        task, levels = self.settings.load, self.plan.workload.levels
        wanted = {*asked, *(self._expected if task.trials > 1 else ())}
        if task.gpu:
            wanted |= {dataclasses.replace(each, device="gpu") for each in wanted}
        if task.calibrate:
            names = {each.level for each in {*wanted, *self._expected}}
            shapes = {name: shape for name, shape in levels.items() if name in names}
            ensure_calibrated(self.store, shapes, tell=self._tell)
        order = [name for name, probed in self.probed().items() if probed.device is not None]
        missing = [each for each in wanted if each.device in order and self.store.load(each.id) is None]
        place = list(levels).index
        missing.sort(key=lambda each: (each.trial, place(each.level), order.index(each.device)))
        self._runner().measure(missing)

    def _levels_of(self, npu: str, threshold_id: str) -> tuple[Load, ...]:
        """The load levels that a threshold needs and that this run has."""
        threshold, roles = self.plan.thresholds[threshold_id], self.roles(npu)
        metric = self.plan.metrics[threshold.metric]
        if threshold.family != "performance" or (metric.baseline and roles.gpu is None):
            return ()
        needs = (each for each in metric.needs(roles).values() if isinstance(each, Load))
        return tuple(each for each in needs if each.level in self.plan.workload.levels)

    def _stored(self, scenario: Scenario) -> Measurement[Any]:
        measurement = self.store.load(scenario.id)
        if measurement is None:
            raise MeasurementError(f"{scenario.id} was not measured")
        return measurement

    def _refuse_unmeasurable(self, scenario: Scenario) -> None:
        if self.settings.replay is not None:
            raise MeasurementError(f"the replayed run did not measure {scenario.id}: measure it in a new run")
        if not scenario.measured_while_probing:
            self.device(scenario.device)
        unknown = scenario.unknown_input(self.plan.workload)
        if unknown is not None:
            raise MeasurementError(unknown)
        settings = self._settings_of(scenario.device)
        if settings.recorded and not (scenario.hidden_source and settings.hidden is not None):
            raise MeasurementError(
                f"the recorded baseline holds no {scenario.id}: record it again with the tests selected now"
            )

    def _without_server(self, scenario: Scenario) -> Measurement[Any] | None:
        """Hidden states from a file, or the account of why none can be had; None: ask a server."""
        device, source = self.device(scenario.device), self._settings_of(scenario.device).hidden
        if isinstance(source, Path):
            return read_hidden(
                source,
                scenario_id=scenario.id,
                device=scenario.device,
                corpus_sha256=self.plan.workload.corpus_sha256,
            )
        if source is None and not device.capabilities.pooling:
            note = device.capabilities.notes.get("pooling")
            message = (
                f"{device.name} serves no /pooling{f' (when probed: {note})' if note else ''}: start a "
                f"pooling server and name it with --gptoss-hidden-{device.role} URL, or record a file with "
                "'pytest-gptoss hidden', or waive this threshold"
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
            seen=self._seen,
        )

    def _hidden_client(self, device: Device) -> VllmClient:
        pooling_server = self._settings_of(device.name).hidden
        if pooling_server is None:
            return self.access().client(device.role, self.url(device.name), device.model)
        option = f"--gptoss-hidden-{device.role}"
        return self.access().client(device.role, str(pooling_server), None, url_option=option)

    # -- judging ------------------------------------------------------------------------------

    def roles(self, npu: str) -> Roles:
        """The devices that play in a verdict about ``npu``."""
        present = {device.role for device in self.settings.devices}
        first = self.settings.npus[0] if self.settings.npus else None
        return Roles(
            npu=npu,
            gpu="gpu" if "gpu" in present else None,
            cpu="cpu" if "cpu" in present else None,
            prompt_ids_of="gpu" if self.settings.inputs == "token-ids" and "gpu" in present else None,
            trials=self.settings.load.trials,
            first=None if first == npu else first,
            needle_lengths=self.plan.needle_lengths,
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
        absent = _absent(metric, roles)
        if absent is not None:
            return skipped(threshold, npu, absent)
        if metric.baseline and roles.gpu is None:
            return invalid(
                threshold, npu, "no baseline to compare with: add --gpu-url URL or --gptoss-baseline FILE"
            )
        absent = self._absent_level(metric, roles)
        if absent is not None:
            without = invalid if threshold.tier == "contract" else skipped
            return without(threshold, npu, absent)
        try:
            blocked = self._blocked_by(npu, threshold, metric)
            if blocked is not None:
                return blocked
            estimate = self._estimate(metric, roles, threshold.statistic)
            doubt = self._doubt(threshold, metric, roles)
            if doubt is not None:
                return invalid(threshold, npu, doubt)
            verdict = judge(threshold, npu, estimate)
        except ConditionAbsent as error:
            return skipped(threshold, npu, str(error))
        except (InsufficientData, MeasurementError) as error:
            return invalid(threshold, npu, str(error))
        except GptossError as error:
            return invalid(threshold, npu, f"{type(error).__name__}: {error}")
        self._note_info(npu, metric, roles)
        return verdict

    def _estimate(self, metric: Metric, roles: Roles, statistic: str | None = None) -> Estimate:
        needs = metric.needs(roles)
        measured = dict(zip(needs, self.measure(*needs.values()), strict=True))
        context = {name: self._context(name, roles) for name in metric.context}
        if len(metric.statistics) > 1:
            context["statistic"] = statistic
        try:
            return metric.compute(**measured, **context)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            if self.settings.replay is None and self.baseline is None:
                raise
            # Every file is sound in itself, but somebody else has put them together.
            names = ", ".join(each.id for each in needs.values())
            raise InsufficientData(
                f"the stored {names} do not fit together ({type(error).__name__}: {error}): measure again"
            ) from error

    def _context(self, name: str, roles: Roles) -> Json:
        """What the run knows by itself and a metric asks for."""
        if name == "stated":
            return self.settings.info.of_devices
        if name == "labels":
            found = (each.device for each in self.probed().values() if each.device is not None)
            return {each.name: each.label for each in found if each.label != each.name}
        if name == "context_needed":
            return max((self._context_of(each, roles) for each in self._selected_on(roles.npu)), default=0)
        raise MeasurementError(f"a metric asks for {name!r}, which no run knows")

    def _selected_on(self, npu: str) -> Iterable[Threshold]:
        table = self.plan.thresholds
        if self.selected is None:
            return table.values()
        return [table[threshold_id] for name, threshold_id in self.selected if name == npu]

    def _context_of(self, threshold: Threshold, roles: Roles) -> int:
        metric = self.plan.metrics[threshold.metric]
        if _absent(metric, roles) is not None or (metric.baseline and roles.gpu is None):
            return 0
        needs = metric.needs(roles).values()
        return max((context_needed(each, self.plan.workload) for each in needs), default=0)

    def _absent_level(self, metric: Metric, roles: Roles) -> str | None:
        """Why a metric's load level is not in this run, in a line; None when it is, or needs none."""
        levels = self.plan.workload.levels
        needs = () if metric.baseline else metric.needs(roles).values()
        for each in needs:
            why = why_absent(each.level, levels) if isinstance(each, Load) else None
            if why is not None:
                return why
        return None

    def _doubt(self, threshold: Threshold, metric: Metric, roles: Roles) -> str | None:
        """Why the instrument cannot tell whether a latency keeps its limit; None when it can."""
        if metric.clock is None or not self.settings.load.calibrate:
            return None
        errors, problems = instrument_errors(self.store), instrument_problems(self.store)
        for each in metric.needs(roles).values():
            if not isinstance(each, Load):
                continue
            if each.level in problems:
                concurrency = self.plan.workload.levels[each.level].concurrency
                return (
                    f"the instrument could not be calibrated at concurrency {concurrency} "
                    f"({problems[each.level]}): --gptoss-no-calibration judges without"
                )
            error = errors.get(each.level)
            if error is not None:
                return why_too_coarse(threshold, metric.clock, error)
        return "the instrument was not calibrated at this level: measure again in a new run"

    def _note_info(self, npu: str, metric: Metric, roles: Roles) -> None:
        """Measure what is printed with a metric, all devices side by side, and keep it."""
        named = {name: self.plan.metrics[name] for name in metric.info}
        info = {name: each for name, each in named.items() if roles.gpu or not each.baseline}
        scenarios = [scenario for each in info.values() for scenario in each.needs(roles).values()]
        with contextlib.suppress(GptossError):  # the figure that stays unknown names the cause, in _note
            self.measure(*scenarios)
        for name, each in info.items():
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

    def judge_finished_levels(self, rows: Iterable[tuple[str, str]]) -> Iterator[Verdict]:
        """After an interruption: verdicts on load levels that were measured to the end and not yet judged."""
        for npu, threshold_id in rows:
            levels = self._levels_of(npu, threshold_id)
            stored = [self.store.load(each.id) for each in levels]
            finished = bool(stored) and all(each is not None and each.complete for each in stored)
            if finished and (npu, threshold_id) not in self._verdicts:
                yield self.verdict(npu, threshold_id)

    def _blocked_by(self, npu: str, judged: Threshold, metric: Metric) -> Verdict | None:
        """INVALID when a metric means nothing: by the first threshold it depends on that does not hold.

        Who waives a preflight row vouches for it, so it stops nothing; what makes a comparison
        mean nothing (other inputs, an unsound baseline) does so waived or not.
        """
        waivers = self.settings.waivers or {}
        for threshold_id in (*gates(judged, metric), *metric.depends_on):
            threshold = self.plan.thresholds.get(threshold_id)
            if threshold is None or (threshold.family == "preflight" and threshold_id in waivers):
                continue
            verdict = self._judged(npu, threshold)
            if verdict.status in ("FAIL", "INVALID"):
                blocked = invalid(judged, npu, _cause(threshold_id, verdict))
                return dataclasses.replace(blocked, details={"blocked_by": threshold_id})
        return None


def _refuse_other_prompts(ours: Mapping[str, Json], replayed: Mapping[str, Json]) -> None:
    if ours["prompts_sha256"] != replayed["prompts_sha256"]:
        raise UsageError(
            "--gptoss-prompts: the replayed run was measured on other prompts "
            f"({replayed['prompts_sha256'][:12]}, not {ours['prompts_sha256'][:12]}): leave the option out"
        )


def _recorded(found: ProbedDevice, label: str | None) -> ProbedDevice:
    """A device of the baseline file; what the user calls it now is preferred to what it was called then."""
    if label is None or found.device is None:
        return found
    return dataclasses.replace(found, device=dataclasses.replace(found.device, label=label))


def _cause(threshold_id: str, verdict: Verdict) -> str:
    """One reason for all that rest on the same row, however many rows lie between."""
    if "blocked_by" in verdict.details:
        return verdict.reason
    return f"{threshold_id} does not hold: {verdict.reason}"


def _absent(metric: Metric, roles: Roles) -> str | None:
    """Why a metric's condition does not hold in this run; None when it does."""
    return None if metric.condition is None else metric.condition.absent(roles)
