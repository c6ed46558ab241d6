"""The run directory: what was measured, kept so that nothing is lost and nothing is measured twice.

Every file is written under another name and renamed, so that a reader sees the whole file or none. One lock
lets one process measure at a time (pytest-xdist's workers share the directory); another one keeps a second
run out of the directory.

    DIR/.gptoss-lock
    DIR/run/lock, run.json, devices.json
    DIR/run/measurements/<scenario>.json, <scenario>.<array>.npy
    DIR/run/verdicts/<npu>-<threshold>.json
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from pytest_gptoss.model.array_file import map_array
from pytest_gptoss.model.atomic_files import write_atomically, write_json
from pytest_gptoss.model.errors import DamagedFile, StoreError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import TABLE, revived, say, with_messages
from pytest_gptoss.model.results import Failure, Measurement
from pytest_gptoss.model.stored_json import Mismatch, parse, typed
from pytest_gptoss.run.file_lock import try_lock, wait_for_lock
from pytest_gptoss.run.run_directory import MEASUREMENTS, VERDICTS, explained, fill_from, make_empty
from pytest_gptoss.scenarios.codec import array_names, decode, encode
from pytest_gptoss.scenarios.registry import device_of_id

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["FORMAT", "Store", "StoreError", "file_names", "info_name"]

FORMAT: Final = 2
"""Of stored runs and of recorded baselines; those of another format are measured again, never converted."""
CLAIM = ".gptoss-lock"
"""Beside the run directory: held by the process that leads a run, as long as it lives."""

_LIST = "list"
"""Key of a stored list that has messages beside it."""


class Store:
    """Measurements, devices and verdicts of one run, below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._measurements: dict[str, Measurement[Any]] = {}
        self._held = 0
        self._claim: BaseFileLock | None = None

    @property
    def measured(self) -> Path:
        """Where the measurements' files are."""
        return self.directory / MEASUREMENTS

    def claim(self) -> None:
        """Keep other runs out of this directory until ``release``, or until this process ends.

        Raises StoreError when another run has it.
        """
        if self._claim is not None:
            return
        with explained(self.directory):
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            self._claim = try_lock(self.directory.with_name(CLAIM))
        if self._claim is None:
            raise StoreError(
                f"{self.directory.parent}: another run is measuring there; wait for its end, "
                "or name another directory with --gptoss-report DIR"
            )

    def release(self) -> None:
        """Let other runs have the directory."""
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def begin(self) -> None:
        """Start an empty run; an earlier run's store is kept once, as ``previous``.

        Raises StoreError when the directory cannot be made or written, or when what is in its place was
        not made by a run.
        """
        make_empty(self.directory)

    def adopt(self, source: Path) -> None:
        """Take over a finished run's measurements and forget its verdicts.

        Raises StoreError when ``source`` holds no run.
        """
        fill_from(source, self.directory)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the one lock of the run; within one process it may be taken again."""
        if self._held:
            self._held += 1
            try:
                yield
            finally:
                self._held -= 1
            return
        with explained(self.directory):
            lock = wait_for_lock(self.directory / "lock")
        self._held = 1
        try:
            yield
        finally:
            self._held = 0
            lock.release()

    def save(self, measurement: Measurement[Any]) -> None:
        """Keep a measurement; arrays first, so a JSON file always has its arrays."""
        document, arrays = encode(measurement)
        document["arrays"] = sorted(arrays)
        with explained(self.directory):
            for name, array in arrays.items():
                path = self.measured / f"{measurement.scenario_id}.{name}.npy"
                write_atomically(path, functools.partial(_save_array, array))
            write_json(self.measured / f"{measurement.scenario_id}.json", with_messages(document))
        self._measurements[measurement.scenario_id] = measurement

    def load(self, scenario_id: str) -> Measurement[Any] | None:
        """A measurement by its scenario's id, None when it was not made; arrays stay on disk.

        One whose files are damaged is a measurement that failed: nothing of it is judged.
        """
        known = self._measurements.get(scenario_id)
        if known is not None:
            return known
        try:
            measurement = self.read(scenario_id)
        except DamagedFile as error:
            measurement = _failed(scenario_id, error)
        if measurement is not None:
            self._measurements[scenario_id] = measurement
        return measurement

    def read(self, scenario_id: str) -> Measurement[Any] | None:
        """A measurement from its files, None when it was not made; raises DamagedFile."""
        path = self.measured / f"{scenario_id}.json"
        document = self._read(path)
        if document is None:
            return None
        try:
            names = array_names(document)
        except Mismatch as error:
            raise self._damaged(path, error) from None
        arrays = {name: self._array(self.measured / f"{scenario_id}.{name}.npy") for name in names}
        try:
            measurement = decode(document, arrays)
            if measurement.scenario_id != scenario_id:
                raise Mismatch(f"{measurement.scenario_id[:80]!r} is another scenario", ".scenario_id")
        except Mismatch as error:
            raise self._damaged(path, error) from None
        return measurement

    def _array(self, path: Path) -> np.ndarray[Any, np.dtype[Any]]:
        try:
            return map_array(path)
        except (Mismatch, OSError) as error:
            raise self._damaged(path, error) from None

    def scenario_ids(self) -> tuple[str, ...]:
        """Ids of everything measured so far, sorted."""
        return tuple(sorted(path.stem for path in self.measured.glob("*.json")))

    def files(self, scenario_id: str) -> list[Path]:
        """The files of a measurement that was made; raises DamagedFile."""
        path = self.measured / f"{scenario_id}.json"
        try:
            names = array_names(self._read(path))
        except Mismatch as error:
            raise self._damaged(path, error) from None
        return [self.measured / name for name in file_names(scenario_id, names)]

    def save_document(self, name: str, document: Json) -> None:
        """Keep a JSON document of the run: ``run``, ``devices``."""
        with explained(self.directory):
            write_json(self.directory / f"{name}.json", _whole(document))

    def load_document(self, name: str, kind: Any = Any) -> Any:
        """A JSON document of the run as ``kind``, None when it was not written; raises DamagedFile."""
        path = self.directory / f"{name}.json"
        document = self._read(path)
        try:
            return None if document is None else typed(kind, document)
        except Mismatch as error:
            raise self._damaged(path, error) from None

    def save_verdict(self, npu: str, threshold_id: str, document: Mapping[str, Json]) -> None:
        """Keep a verdict's JSON form."""
        with explained(self.directory):
            write_json(self.directory / VERDICTS / f"{npu}-{threshold_id}.json", with_messages(document))

    def verdicts(self) -> tuple[Json, ...]:
        """All verdicts kept so far, by file name."""
        paths = sorted((self.directory / VERDICTS).glob("*.json"))
        return tuple(self._read(path) for path in paths)

    def _read(self, path: Path) -> Json | None:
        try:
            document = revived(parse(path.read_bytes()))
            if document is None:
                raise Mismatch("null, which no run writes")
        except FileNotFoundError:
            return None
        except (OSError, Mismatch) as error:
            raise self._damaged(path, error) from None
        return document[_LIST] if isinstance(document, dict) and set(document) == {_LIST} else document

    def _damaged(self, path: Path, error: Exception) -> DamagedFile:
        place = path.relative_to(self.directory.parent).as_posix()
        return DamagedFile(
            say("{place}: {error}; the file is damaged: measure again in a new run", place=place, error=error)
        )


def _whole(document: Json) -> Json:
    """A document with its messages; a list that has some lies inside an object, beside them."""
    if isinstance(document, Mapping):
        return with_messages(document)
    whole = with_messages({_LIST: document})
    return whole if TABLE in whole else document


def _failed(scenario_id: str, error: DamagedFile) -> Measurement[Any]:
    """What stands in the place of a measurement that cannot be read."""
    device = device_of_id(scenario_id)
    return Measurement(scenario_id, device, (), (Failure("*", "damaged", str(error)),), complete=False)


def file_names(scenario_id: str, arrays: Iterable[str]) -> list[str]:
    """Names of a measurement's files: its JSON and its arrays."""
    return [f"{scenario_id}.json", *(f"{scenario_id}.{array}.npy" for array in arrays)]


def info_name(npu: str, metric: str) -> str:
    """Name under which the store keeps an info metric of a device."""
    return f"info-{npu}-{metric}"


def _save_array(array: np.ndarray[Any, np.dtype[Any]], file: IO[bytes]) -> None:
    np.save(file, array, allow_pickle=False)
