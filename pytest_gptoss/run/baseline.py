"""A recorded baseline: the GPU's (and the CPU's) measurements in one file, with what they rest on.

The file is a zip: ``baseline.json`` (devices and workload facts) and the store's measurement files.
Whoever made it may have made anything: members are looked up by names that are built here, their sizes are
bounded before they are read, and what they hold is checked as the store's own files are.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_gptoss.model.errors import DamagedFile, UsageError
from pytest_gptoss.model.finite import strict_json
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import revived
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.stored_json import Mismatch, parse, typed
from pytest_gptoss.run.run_directory import MEASUREMENTS
from pytest_gptoss.run.store import FORMAT, Store, file_names
from pytest_gptoss.scenarios.codec import array_names
from pytest_gptoss.scenarios.devices import ProbedDevice
from pytest_gptoss.scenarios.kinds import Preflight
from pytest_gptoss.scenarios.registry import device_of_id, is_id

__all__ = ["Baseline", "read_baseline", "record_baseline", "recorded_models"]

FACTS = "baseline.json"
RECORDED = ("gpu", "cpu")
"""The devices that a baseline may hold, which are named like their roles."""

MIB = 2**20
LARGEST_JSON = 64 * MIB
LARGEST_ARRAY = 1024 * MIB
"""Most bytes of a member. A run writes less than 2 MB of JSON, and 160 MB of hidden states."""
LARGEST_TOTAL = 2048 * MIB
MOST_SCENARIOS = 10_000


@dataclass(frozen=True)
class _Document:
    """``baseline.json``."""

    format: Literal[2]
    devices: Mapping[str, ProbedDevice]
    facts: Mapping[str, Json]
    scenarios: tuple[str, ...]


class Baseline:
    """An opened baseline file: ``devices`` by name, ``facts`` of the workload, ids of its scenarios."""

    def __init__(self, path: Path, document: _Document) -> None:
        self.path = path
        self.devices: Mapping[str, ProbedDevice] = document.devices
        self.facts: Mapping[str, Json] = document.facts
        self.scenarios: tuple[str, ...] = document.scenarios

    def refuse_if_different(self, facts: Mapping[str, Json]) -> None:
        """Raise UsageError naming the first workload fact that differs from this run's."""
        for name, ours in facts.items():
            theirs = self.facts.get(name)
            if theirs != ours:
                raise UsageError(
                    f"{_named(self.path)}: its {name} is {theirs!r}, this run's is {ours!r}; "
                    "figures would not be comparable: record the baseline again with this run's settings"
                )

    def fill(self, store: Store, devices: Collection[str]) -> None:
        """Put the recorded measurements of ``devices`` into a run's store; raises UsageError on damage."""
        wanted = [each for each in self.scenarios if device_of_id(each) in devices]
        with _read_as_usage(self.path), zipfile.ZipFile(self.path) as archive:
            total = 0
            for scenario_id in wanted:
                names = array_names(_json(archive, f"{MEASUREMENTS}/{scenario_id}.json"))
                for name in file_names(scenario_id, names):
                    member = _member(archive, f"{MEASUREMENTS}/{name}")
                    total += member.file_size
                    if total > LARGEST_TOTAL:
                        raise Mismatch(f"more than {LARGEST_TOTAL // MIB} MiB unpacked")
                    with archive.open(member) as source, (store.measured / name).open("wb") as target:
                        shutil.copyfileobj(source, target, MIB)
                store.read(scenario_id)


def record_baseline(
    path: Path, store: Store, devices: Mapping[str, Json], facts: Mapping[str, Json]
) -> tuple[str, ...]:
    """Write the whole, faultless measurements of ``devices`` to ``path``; returns their scenario ids.

    With nothing to keep but how the servers answered, nothing is written and an earlier file stays.
    """
    kept = {}
    for scenario_id in store.scenario_ids():
        measurement = store.load(scenario_id)
        if measurement is not None and measurement.device in devices and _whole(measurement):
            kept[scenario_id] = measurement.device
    if all(scenario_id == Preflight(device).id for scenario_id, device in kept.items()):
        return ()
    document = {"format": FORMAT, "devices": dict(devices), "facts": dict(facts), "scenarios": list(kept)}
    aside = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for scenario_id in kept:
                for file in store.files(scenario_id):
                    archive.write(file, f"{MEASUREMENTS}/{file.name}")
            archive.writestr(FACTS, strict_json(document, indent=1))
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return tuple(kept)


def _whole(measurement: Measurement[Any]) -> bool:
    return measurement.complete and not measurement.failures


def read_baseline(path: Path) -> Baseline:
    """Open a recorded baseline; raises UsageError when it is none or of another format."""
    try:
        with zipfile.ZipFile(path) as archive:
            document = _json(archive, FACTS)
    except (OSError, *_UNREADABLE) as error:
        raise UsageError(
            f"{_named(path)}: not a recorded baseline ({error}); make one with --gptoss-record FILE"
        ) from None
    version = document.get("format") if isinstance(document, dict) else None
    if version != FORMAT:
        raise UsageError(f"{_named(path)}: format {version!r}, this version reads {FORMAT}; record it again")
    with _read_as_usage(path):
        found: _Document = _checked(document)
    if "gpu" not in found.devices:
        raise UsageError(f"{_named(path)}: it holds no gpu; record it again, from a run whose GPU answers")
    return Baseline(path, found)


def recorded_models(path: Path | None) -> dict[str, str | None]:
    """The served model's name by device of a recorded baseline; empty without one. Raises as it is read."""
    devices = {} if path is None else read_baseline(path).devices
    return {name: None if each.device is None else each.device.model for name, each in devices.items()}


def _checked(document: Json) -> _Document:
    """``baseline.json`` typed; names are those that runs write, and nothing else is ever looked up."""
    try:
        found: _Document = typed(_Document, document)
        for name, probed in found.devices.items():
            device = probed.device
            names = {name, probed.name, *(() if device is None else (device.name, device.role))}
            if name not in RECORDED or len(names) > 1:
                raise Mismatch(
                    f"a baseline holds {' and '.join(RECORDED)} by their own names", f".devices.{name[:40]}"
                )
        if len(found.scenarios) > MOST_SCENARIOS:
            raise Mismatch(f"{len(found.scenarios)} scenarios, at most {MOST_SCENARIOS}", ".scenarios")
        for index, scenario_id in enumerate(found.scenarios):
            if not is_id(scenario_id) or device_of_id(scenario_id) not in found.devices:
                raise Mismatch(f"{scenario_id[:80]!r} is no scenario of its devices", f".scenarios[{index}]")
    except Mismatch as error:
        raise Mismatch(f"{FACTS}: {error}") from None
    return found


_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip
"""What zipfile raises for damaged, encrypted or foreign archives; Mismatch is a ValueError."""


@contextmanager
def _read_as_usage(path: Path) -> Iterator[None]:
    """Whatever is wrong with the file is the option's fault: it becomes a UsageError."""
    try:
        yield
    except (DamagedFile, *_UNREADABLE) as error:
        raise UsageError(f"{_named(path)}: damaged ({error}); record it again") from None


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """A member by its exact name, no larger than it may be; zipfile reads no more than its stated size."""
    member = archive.getinfo(name)
    most = LARGEST_JSON if name.endswith(".json") else LARGEST_ARRAY
    if member.file_size > most:
        raise Mismatch(f"{name}: {member.file_size // MIB} MiB unpacked, at most {most // MIB} MiB are read")
    return member


def _json(archive: zipfile.ZipFile, name: str) -> Json:
    with archive.open(_member(archive, name)) as file:
        try:
            return revived(parse(file.read(LARGEST_JSON)))
        except Mismatch as error:
            raise Mismatch(f"{name}: {error}") from None


def _named(path: Path) -> str:
    return f"--gptoss-baseline {path.name}"
