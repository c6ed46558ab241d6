"""Diagnosis of a run: known failures in what the servers' logs have gained, and in the verdicts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from pytest_gptoss.client.endpoint import Secret
from pytest_gptoss.errors import UsageError
from pytest_gptoss.judge.diagnosis import LogLine, Signatures, explained, read_symptoms
from pytest_gptoss.judge.facts import FactBook
from pytest_gptoss.measure.server_log import LogMark, gained, mark, shown
from pytest_gptoss.measure.store import Store
from pytest_gptoss.printable import printable
from pytest_gptoss.records import Json, Preflight
from pytest_gptoss.settings import Settings

__all__ = ["Diagnosis"]

Players: TypeAlias = Callable[[str, str], Sequence[str]]
"""(device under test, threshold id) -> names of the devices the verdict is about."""

_MARKS = "logs"
_FOUND = "log-findings"


@dataclass(frozen=True)
class _LogFinding:
    """What a run found in a log, as its store keeps it."""

    kind: Literal["log"]
    device: str
    name: str
    file: str
    line: int
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
        self._read: dict[str, tuple[tuple[int, int], list[LogLine]]] = {}

    def begin(self) -> None:
        """Note where every log stands; a replay has none. Raises UsageError when one cannot be read."""
        if self._settings.replay is not None:
            return
        marks = {}
        for device in self._settings.devices:
            if device.log is not None:
                try:
                    marks[device.name] = mark(device.log).document()
                except OSError as error:
                    raise UsageError(
                        f"--gptoss-{device.role}-log {device.log}: {error.strerror or error}: "
                        "name a file that this user may read"
                    ) from error
        self._store.save_document(_MARKS, marks)

    def beside(self, threshold_id: str, devices: Sequence[str]) -> list[str]:
        """Lines to stand below a red verdict: the log's word, with file and line, and the remedy."""
        found = explained(self._log_lines(), threshold_id, devices)
        return [
            text
            for each in found
            for text in (
                printable(f"{each.file}:{each.line}: {each.text.strip()[:200]}"),
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
        return [*self._of_logs(red), *read_symptoms(self._signatures.symptoms, rows, self._versions())]

    def _of_logs(self, red: Sequence[tuple[str, Sequence[str]]]) -> list[dict[str, Json]]:
        """Each signature once a device, with how often it was seen; a replay keeps what its run found."""
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
        """What stands in a log now; read again only when it has changed."""
        status = start.path.stat()
        state = (status.st_ino, status.st_size)
        known = self._read.get(device)
        if known is None or known[0] != state:
            file, lines = shown(start.path), []
            for number, text in gained(start):
                signature = self._signatures.match(text)
                if signature is not None:
                    lines.append(LogLine(device, file, number, _without_keys(text), signature))
            known = self._read[device] = (state, lines)
        return known[1]

    def _versions(self) -> dict[str, dict[str, str]]:
        versions: dict[str, dict[str, str]] = {}
        for device in self._settings.devices:
            measurement = self._store.load(Preflight(device.name).id)
            server = measurement.items[0] if measurement and measurement.items else None
            book = FactBook.of(device.name, server, self._settings.info.of_devices)
            versions[device.name] = {name: fact.value for name, fact in book.facts.items()}
        return versions


def _without_keys(text: str) -> str:
    """A log's line without this run's API keys: some servers log how they were started."""
    for role in ("NPU", "GPU", "CPU"):
        key = os.environ.get(f"GPTOSS_{role}_API_KEY")
        if key:
            text = Secret(key).scrub(text)
    return text
