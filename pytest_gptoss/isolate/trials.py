"""Starts of a serve line, probed and kept: an interrupted search goes on where it stopped."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_gptoss.config.plan import Plan, make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.isolate.probe import Probe, asked
from pytest_gptoss.isolate.search import Outcome, Stage
from pytest_gptoss.isolate.settings import Change, changed
from pytest_gptoss.model.atomic_files import write_json
from pytest_gptoss.model.errors import ReferenceServerError, UsageError
from pytest_gptoss.model.kept_log import before_its_end
from pytest_gptoss.model.secret_values import secret_values, without
from pytest_gptoss.model.serve_command import ServeCommand
from pytest_gptoss.model.stored_json import Mismatch, parse, typed
from pytest_gptoss.model.subjects import Role
from pytest_gptoss.run.baseline import recorded_models
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.servers.managed import ManagedServer

__all__ = ["STATE", "Failing", "StartRecord", "Trials"]

STATE = "state.json"
_REFUSED = re.compile(r"error: (?:unrecognized arguments|ambiguous option|argument )")
"""What argparse says of a command line that it refuses."""
_PROBES = (3, 2)
"""Requests of the first start and of the second: five probes over two starts. Later starts get three."""


@dataclass(frozen=True)
class StartRecord:
    """One start: what was changed, how long it took in seconds, what it showed, and the words for it."""

    stage: Stage
    changes: tuple[str, ...]
    outcome: Outcome
    seconds: float
    evidence: str
    log: str


@dataclass(frozen=True)
class _State:
    """``state.json``: what is searched, so that no other search goes on with it, and the starts so far."""

    search: str
    starts: tuple[StartRecord, ...]


@dataclass(frozen=True)
class Failing:
    """The serve line that fails, how that is seen, and what a threshold is compared with."""

    command: ServeCommand
    probe: Probe
    baseline: Path | None
    ready_timeout_s: float

    @property
    def compared_with(self) -> str | None:
        """The baseline's name and SHA-256, None without one; raises UsageError for an unreadable one."""
        if self.baseline is None:
            return None
        try:
            digest = hashlib.sha256(self.baseline.read_bytes()).hexdigest()
        except OSError as error:
            raise UsageError(f"--baseline {self.baseline}: {error.strerror or error}") from None
        return f"{self.baseline.name} {digest}"


class Trials:
    """Starts the line with changes, as the search asks; ``records`` has all starts, in their order."""

    def __init__(
        self, failing: Failing, changes: Mapping[str, Change], output: Path, *, tell: Callable[[str], None]
    ) -> None:
        self._failing = failing
        self._changes = changes
        self._output = output
        self._tell = tell
        self._search = repr((failing.command.shown, failing.probe, failing.compared_with, sorted(changes)))
        self._earlier = list(self._read())
        self.records: list[StartRecord] = []

    def __call__(self, stage: Stage, changes: tuple[str, ...]) -> Outcome:
        """The outcome of one start, made now or before an interruption."""
        earlier = self._earlier.pop(0) if self._earlier else None
        if earlier is not None and (earlier.stage, earlier.changes) == (stage, changes):
            record = earlier
        else:
            self._earlier = []
            record = self._made(stage, changes)
        self.records.append(record)
        state = asdict(_State(self._search, (*self.records, *self._earlier)))
        write_json(self._output / STATE, state)
        said = f"{' '.join(changes) or 'unchanged'}: {record.outcome}, {record.seconds:.0f} s"
        self._tell(f"isolate: start {len(self.records)}, {stage}: {said}")
        return record.outcome

    def forget(self) -> None:
        """The search has ended: another one begins anew."""
        (self._output / STATE).unlink(missing_ok=True)

    def _read(self) -> tuple[StartRecord, ...]:
        path = self._output / STATE
        try:
            state: _State = typed(_State, parse(path.read_bytes()))
        except FileNotFoundError:
            return ()
        except (OSError, Mismatch) as error:
            raise UsageError(f"{path}: {error}: remove it, or name another --output DIR") from None
        if state.search != self._search:
            raise UsageError(f"{path} belongs to another search: remove it, or name another --output DIR")
        return state.starts

    def _made(self, stage: Stage, changes: tuple[str, ...]) -> StartRecord:
        command = changed(self._failing.command, [self._changes[each] for each in changes])
        number = len(self.records)
        log = self._output / "logs" / f"start-{number + 1:02d}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        began = time.monotonic()
        outcome, evidence = self._probed(
            command, log, _PROBES[number] if number < len(_PROBES) else _PROBES[0]
        )
        if outcome == "fails" and changes and self._newly_refused(log):
            outcome = "other"
        evidence = without(evidence, secret_values(command.environment))
        seconds = round(time.monotonic() - began, 1)
        return StartRecord(
            stage, changes, outcome, seconds, evidence, log.relative_to(self._output).as_posix()
        )

    def _newly_refused(self, log: Path) -> bool:
        """Whether the server refuses a setting that it did not refuse in the first start."""
        first = self._output / self.records[0].log if self.records else log
        texts = (each.read_text("utf-8", "replace") if each.is_file() else "" for each in (log, first))
        now, before = (bool(_REFUSED.search(text)) for text in texts)
        return now and not before

    def _probed(self, command: ServeCommand, log: Path, times: int) -> tuple[Outcome, str]:
        probe = self._failing.probe
        found: tuple[Outcome, str]
        try:
            timeout = self._failing.ready_timeout_s
            with ManagedServer.start(
                "isolate", command, log, ready_timeout=timeout, tell=self._say
            ) as server:
                found = self._asked(probe, server.url, times)
        except ReferenceServerError as error:
            found = "fails" if probe.kind in ("any", "start") else "other", _as_called_here(str(error))
        if probe.kind != "log":
            return found
        lines = enumerate(log.read_text("utf-8", "replace").splitlines())
        for _, line in before_its_end(lines):
            if re.search(probe.pattern, line):
                return "fails", line.strip()[:400]
        return ("passes", "") if found[0] != "other" else found

    def _say(self, line: str) -> None:
        self._tell(_as_called_here(line))

    def _asked(self, probe: Probe, url: str, times: int) -> tuple[Outcome, str]:
        if probe.kind == "start":
            return "passes", ""
        if probe.kind == "threshold":
            return self._judged(probe, url)
        wrong = [asked(probe, url) for _ in range(1 if probe.kind == "log" else times)]
        failed = [each for each in wrong if each]
        if not failed or probe.kind == "log":
            return "passes", ""
        return ("fails" if len(failed) == len(wrong) else "mixed"), failed[0]

    def refuse_unusable(self) -> None:
        """Raise UsageError for what no start could be judged by, before the first of them."""
        command, probe = self._failing.command, self._failing.probe
        program = command.words[0]
        found = shutil.which(program, path=command.environment.get("PATH"))
        if found is None:
            raise UsageError(f"--serve: there is no program {program!r}: give its path, or correct the name")
        if probe.kind == "threshold":
            self._planned(probe, "http://127.0.0.1:9")

    def _planned(self, probe: Probe, url: str) -> tuple[Settings, Plan]:
        """The run that judges a row; raises UsageError for an unknown row, profile or baseline."""
        baseline = self._failing.baseline
        roles: tuple[Role, ...] = ("gpu", "cpu")
        names = recorded_models(baseline)
        recorded = (DeviceSettings(each, each, None, recorded=True) for each in roles if each in names)
        settings = Settings(
            devices=(DeviceSettings("npu", "npu", url), *recorded),
            baseline=baseline,
            profile=probe.profile,
            report=self._output / f"judged-{len(self.records) + 1:02d}",
        )
        plan = make_plan(settings)
        if probe.threshold not in plan.thresholds:
            raise UsageError(f"--probe: no threshold is called {probe.threshold!r} in {plan.profile.name}")
        return settings, plan

    def _judged(self, probe: Probe, url: str) -> tuple[Outcome, str]:
        """Whether a row of the acceptance suite holds on this start."""
        settings, plan = self._planned(probe, url)
        run = AcceptanceRun(settings, plan, tell=self._tell)
        try:
            run.begin()
            verdict = run.verdict("npu", probe.threshold)
        finally:
            run.close()
        outcomes: dict[str, Outcome] = {"PASS": "passes", "FAIL": "fails"}
        value = "" if verdict.value is None else f" {verdict.value:g}"
        said = f"{probe.threshold}: {verdict.status}{value} {verdict.reason}"
        return outcomes.get(verdict.status, "other"), said


def _as_called_here(text: str) -> str:
    """What is said of a start, with this command's name of the option that pytest calls otherwise."""
    return text.replace("--gptoss-ready-timeout", "--ready-timeout")
