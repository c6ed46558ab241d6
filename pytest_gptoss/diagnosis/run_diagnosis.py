"""Diagnosis of a run: known failures in the servers' logs, in their error texts, and in the verdicts."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from pytest_gptoss.client.endpoint import Secret
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.diagnosis.log_reading import LogLine, explained, read_answer, read_log
from pytest_gptoss.diagnosis.signatures import Signatures
from pytest_gptoss.diagnosis.symptoms import read_symptoms
from pytest_gptoss.judge.facts import FactBook
from pytest_gptoss.model.errors import DamagedFile, UsageError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.key_variables import key_variable
from pytest_gptoss.model.message import say
from pytest_gptoss.model.printable import printable
from pytest_gptoss.model.results import BadRequest, LoadLevel, Measurement, NeedleAnswer
from pytest_gptoss.model.subjects import Role
from pytest_gptoss.run.probed import probed_devices
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Preflight
from pytest_gptoss.scenarios.server_log import LogMark, gained, last_start, mark, shown

__all__ = ["Diagnosis"]

Players: TypeAlias = Callable[[str, str], Sequence[str]]
"""(device under test, threshold id) -> names of the devices the verdict is about."""

_MARKS = "logs"
_FOUND = "log-findings"


@dataclass(frozen=True)
class _LogFinding:
    """What a run found in a log or in an answer, as its store keeps it; an answer has no file and line."""

    kind: Literal["log", "answer"]
    device: str
    name: str
    file: str | None
    line: int | None
    text: str
    remedy: str
    source: str
    explains: tuple[str, ...]
    times: int


class Diagnosis:
    """What is known to be wrong, by device; the marks at the start are in the run's store."""

    def __init__(self, settings: Settings, store: Store, signatures: Signatures) -> None:
        self._settings = settings
        self._store = store
        self._signatures = signatures
        self._read: dict[str, tuple[tuple[int, int, bool], list[LogLine]]] = {}
        self._answered: dict[str, list[LogLine]] = {}
        self._noted: list[LogLine] | None = None

    def begin(self) -> None:
        """Note where every log stands; a replay has none. Raises UsageError when one cannot be read."""
        if self._settings.replay is not None:
            return
        marks = {}
        for device in self._settings.devices:
            if device.log is not None:
                try:
                    if device.serve is not None:  # its server begins the log, later in the run
                        device.log.parent.mkdir(parents=True, exist_ok=True)
                        device.log.touch()
                    marks[device.name] = mark(device.log).document()
                except OSError as error:
                    raise UsageError(
                        f"--gptoss-{device.role}-log {device.log}: {error.strerror or error}: "
                        "name a file that this user may read"
                    ) from error
        self._store.save_document(_MARKS, marks)

    def beside(self, threshold_id: str, devices: Sequence[str]) -> list[str]:
        """Lines to stand below a red verdict: the log's or the answer's word, its place, and the remedy."""
        found = explained([*self._log_lines(), *self._answers()], threshold_id, devices)
        return [
            text
            for each in found
            for text in (
                printable(f"{_place(each)}: {each.text.strip()[:200]}"),
                f"  {each.signature.remedy}",
            )
        ]

    def findings(self, rows: Sequence[Mapping[str, Json]], players: Players) -> list[dict[str, Json]]:
        """Everything found, logs first; ``rows`` are the verdicts as reports carry them.

        Raises DamagedFile where a replayed run's findings cannot be read.
        """
        red = [
            (row["threshold_id"], players(row["npu"], row["threshold_id"]))
            for row in rows
            if row["verdict"] in ("FAIL", "INVALID") and "blocked_by" not in row["details"]
        ]
        symptoms = read_symptoms(self._signatures.symptoms, rows, self._versions())
        return [{**each, "remedy": say(each["remedy"])} for each in (*self._of_servers(red), *symptoms)]

    def _of_servers(self, red: Sequence[tuple[str, Sequence[str]]]) -> list[dict[str, Json]]:
        """Each signature once a device, with how often it was seen; a replay keeps what its run found.

        What a log shows is not told again from answers, and an answer that explains no red row is left out:
        the server may have been asked for what it need not have.
        """
        if self._settings.replay is not None:
            kept = self._store.load_document(_FOUND, tuple[_LogFinding, ...]) or ()
            return [{**asdict(each), "explains": list(each.explains)} for each in kept]
        found: dict[tuple[str, str], dict[str, Json]] = {}
        for line in self._log_lines():
            key = (line.device, line.signature.name)
            if key in found:
                found[key]["times"] += 1
            else:
                found[key] = {**line.document(red), "times": 1}
        of_logs = frozenset(found)
        for line in self._answers():
            key, document = (line.device, line.signature.name), line.document(red)
            if key in of_logs or not document["explains"]:
                continue
            found[key] = {**document, "times": found[key]["times"] + 1 if key in found else 1}
        self._store.save_document(_FOUND, list(found.values()))
        return list(found.values())

    def _log_lines(self) -> list[LogLine]:
        if self._settings.replay is not None:
            return []
        lines = []
        for device, start in (self._store.load_document(_MARKS, Mapping[str, LogMark]) or {}).items():
            with contextlib.suppress(OSError):  # a log that is gone says nothing; verdicts stand without it
                lines += self._known_lines(device, start)
        return lines

    def _known_lines(self, device: str, start: LogMark) -> list[LogLine]:
        """What stands in a log now; read again only when it has changed, or when the server did not start."""
        status = start.path.stat()
        met = self._store.load(Preflight(device).id)
        never_ready = met is not None and not met.items
        state = (status.st_ino, status.st_size, never_ready)
        known = self._read.get(device)
        if known is None or known[0] != state:
            # A server that never answered has said why before this run began.
            lines = last_start(start) if never_ready else gained(start)
            found = read_log(lines, self._signatures, device=device, file=shown(start.path))
            kept = [dataclasses.replace(each, text=_without_keys(each.text)) for each in found]
            known = self._read[device] = (state, kept)
        return known[1]

    def _answers(self) -> list[LogLine]:
        """Known failures in the error texts that servers answered with, in the order of scenario ids."""
        lines = []
        for scenario_id in self._store.scenario_ids():
            if scenario_id not in self._answered:
                measurement = self._store.load(scenario_id)
                told = () if measurement is None else _error_texts(measurement)
                self._answered[scenario_id] = self._known_answers(
                    "" if measurement is None else measurement.device, told
                )
            lines += self._answered[scenario_id]
        return [*lines, *self._notes()]

    def _notes(self) -> list[LogLine]:
        """Known failures in what probing noted, read once it is there: every red row asks for them."""
        if self._noted is None:
            try:
                probed = probed_devices(self._store)
            except DamagedFile:  # who cannot be read says nothing; verdicts stand without it
                return []
            if probed is None:
                return []
            self._noted = [
                line
                for each in probed
                if each.device is not None
                for line in self._known_answers(each.name, each.device.capabilities.notes.values())
            ]
        return self._noted

    def _known_answers(self, device: str, texts: Iterable[str]) -> list[LogLine]:
        found = (read_answer(text, self._signatures, device=device) for text in texts)
        return [each for each in found if each is not None]

    def _versions(self) -> dict[str, dict[str, str]]:
        versions: dict[str, dict[str, str]] = {}
        for device in self._settings.devices:
            measurement = self._store.load(Preflight(device.name).id)
            server = measurement.items[0] if measurement and measurement.items else None
            book = FactBook.of(device.name, server, self._settings.info.of_devices)
            versions[device.name] = {name: fact.value for name, fact in book.facts.items()}
        return versions


def _place(found: LogLine) -> str:
    return f"{found.device} answered" if found.file is None else f"{found.file}:{found.line}"


def _error_texts(measurement: Measurement[Any]) -> Iterator[str]:
    """What a device answered instead of what it was asked for; refusals that were provoked are none."""
    for failure in measurement.failures:
        yield failure.message
    for item in measurement.items:
        if isinstance(item, NeedleAnswer):
            yield item.message
        elif isinstance(item, BadRequest):
            yield item.trouble
        elif isinstance(item, LoadLevel):
            yield from (each.error.message for each in item.requests if each.error is not None)


def _without_keys(text: str) -> str:
    """A log's line without this run's API keys: some servers log how they were started."""
    for role in get_args(Role):
        key = os.environ.get(key_variable(role))
        if key:
            text = Secret(key).scrub(text)
    return text
