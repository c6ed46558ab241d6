"""A recorded baseline: the GPU's (and the CPU's) measurements in one file, with what they rest on.

The file is a zip: ``baseline.json`` (devices and workload facts) and the store's measurement files.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_gptoss.errors import UsageError
from pytest_gptoss.finite import strict_json
from pytest_gptoss.measure.store import MEASUREMENTS, Store, file_names
from pytest_gptoss.records import Json, Measurement, Preflight

__all__ = ["Baseline", "read_baseline", "record_baseline"]

FORMAT = 1
FACTS = "baseline.json"


class Baseline:
    """An opened baseline file: ``devices`` as the store keeps them, ``facts`` of the workload."""

    def __init__(self, path: Path, document: Mapping[str, Json]) -> None:
        self.path = path
        self.devices: Mapping[str, Json] = document["devices"]
        self.facts: Mapping[str, Json] = document["facts"]
        self.scenarios: Sequence[str] = document["scenarios"]

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
        target = store.directory / MEASUREMENTS
        try:
            with zipfile.ZipFile(self.path) as archive:
                for scenario_id in self.scenarios:
                    head = json.loads(archive.read(f"{MEASUREMENTS}/{scenario_id}.json"))
                    if head["device"] in devices:
                        for name in file_names(scenario_id, head["arrays"]):
                            (target / name).write_bytes(archive.read(f"{MEASUREMENTS}/{name}"))
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise UsageError(f"{_named(self.path)}: damaged ({error}); record it again") from error


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
            document = json.loads(archive.read(FACTS))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UsageError(
            f"{_named(path)}: not a recorded baseline ({error}); make one with --gptoss-record FILE"
        ) from error
    if document.get("format") != FORMAT:
        raise UsageError(
            f"{_named(path)}: format {document.get('format')!r}, this version reads {FORMAT}; record it again"
        )
    baseline = Baseline(path, document)
    if "gpu" not in baseline.devices:
        raise UsageError(f"{_named(path)}: it holds no gpu; record it again, from a run whose GPU answers")
    return baseline


def _named(path: Path) -> str:
    return f"--gptoss-baseline {path.name}"
