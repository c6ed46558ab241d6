"""A recorded baseline: the GPU's (and the CPU's) measurements in one file, with what they rest on.

The file is a zip: ``baseline.json`` (devices and workload facts) and the store's measurement files.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pytest_gptoss.errors import UsageError
from pytest_gptoss.measure.store import Store
from pytest_gptoss.records import Json

__all__ = ["Baseline", "read_baseline", "record_baseline"]

FORMAT = 1
FACTS = "baseline.json"


class Baseline:
    """An opened baseline file: ``devices`` as the store keeps them, ``facts`` of the workload."""

    def __init__(self, path: Path, document: Mapping[str, Json]) -> None:
        self.path = path
        self.devices: Mapping[str, Json] = document["devices"]
        self.facts: Mapping[str, Json] = document["facts"]

    def refuse_if_different(self, facts: Mapping[str, Json]) -> None:
        """Raise UsageError naming the first workload fact that differs from this run's."""
        for name, ours in facts.items():
            theirs = self.facts.get(name)
            if theirs != ours:
                raise UsageError(
                    f"--gptoss-baseline {self.path.name}: its {name} is {theirs!r}, this run's is {ours!r}; "
                    "figures would not be comparable: record the baseline again with this run's settings"
                )

    def fill(self, store: Store) -> None:
        """Put the recorded measurements into a run's store."""
        target = store.directory / "measurements"
        with zipfile.ZipFile(self.path) as archive:
            for member in archive.infolist():
                name = PurePosixPath(member.filename)
                if name.parent == PurePosixPath("measurements") and name.suffix in {".json", ".npy"}:
                    (target / name.name).write_bytes(archive.read(member))


def record_baseline(
    path: Path, store: Store, devices: Mapping[str, Json], facts: Mapping[str, Json]
) -> tuple[str, ...]:
    """Write the whole, faultless measurements of ``devices`` to ``path``; returns their scenario ids."""
    kept: list[str] = []
    aside = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for scenario_id in store.scenario_ids():
            measurement = store.load(scenario_id)
            if measurement is None or measurement.device not in devices:
                continue
            if measurement.failures or not measurement.complete:
                continue
            kept.append(scenario_id)
            for file in sorted((store.directory / "measurements").glob(f"{scenario_id}.*")):
                archive.write(file, f"measurements/{file.name}")
        document = {"format": FORMAT, "devices": dict(devices), "facts": dict(facts), "scenarios": kept}
        archive.writestr(FACTS, json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1))
    aside.replace(path)
    return tuple(kept)


def read_baseline(path: Path) -> Baseline:
    """Open a recorded baseline; raises UsageError when it is none or of another format."""
    try:
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read(FACTS))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UsageError(
            f"--gptoss-baseline {path.name}: not a recorded baseline ({error}); "
            "make one with --gptoss-record FILE"
        ) from error
    if document.get("format") != FORMAT:
        raise UsageError(
            f"--gptoss-baseline {path.name}: format {document.get('format')!r}, this version reads {FORMAT}; "
            "record it again"
        )
    return Baseline(path, document)
