"""Errors of devices against the FP32 reference, position by position, from runs of benchmarks/sensitivity.py.

    python tools/measured_errors.py STATE tests/judge/data/errors.json

STATE is the folder of one version in that command's ``--state``. Tests draw sequences from what was measured
here, to tell how often a sound pair fails and a damaged one passes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pytest_gptoss.model.results import ScoredSequence
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Forced, Greedy

__all__ = ["errors", "main", "scores"]

Errors: TypeAlias = dict[str, list[float]]

ROWS = {
    "sound": "reference-sound",
    "weights-6bit": "reference-weights-6bit",
    "noise-0.01": "reference-noise-0.01",
}
DIGITS = 3
CPU_SEQUENCES = 24
"""The default of --gptoss-cpu-sequences, which those runs keep."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("state", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    runs = {name: options.state / row / "run" for name, row in ROWS.items()}
    found: dict[str, Errors] = {"baseline": errors(runs["sound"], "gpu")}
    found |= {name: errors(run, "npu") for name, run in runs.items()}
    ids = list(found["baseline"])
    document = {name: [each[sequence] for sequence in ids] for name, each in found.items()}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f'"{name}": {_lines(rows)}' for name, rows in document.items())
    options.output.write_text(f"{{\n{lines}\n}}\n", "utf-8")
    return 0


def errors(run: Path, device: str) -> Errors:
    """A device's absolute errors in nats on the tokens that the CPU scored, by sequence."""
    store = Store(run)
    answers = Greedy("gpu")
    exact = scores(store, Forced("cpu", "gpu", CPU_SEQUENCES, answers))
    given = scores(store, Forced(device, "gpu", outputs=answers))
    return {
        name: [float(f"{each:.{DIGITS}g}") for each in np.abs(given[name].logprobs - cpu.logprobs)]
        for name, cpu in exact.items()
    }


def scores(store: Store, scenario: Forced) -> dict[str, ScoredSequence]:
    """What a run stored, by sequence; SystemExit where that was not measured whole."""
    measurement = store.load(scenario.id)
    if measurement is None or measurement.failures:
        raise SystemExit(f"{store.directory}: {scenario.id} was not measured there without failures")
    return {item.sequence_id: item for item in measurement.items}


def _lines(rows: list[list[float]]) -> str:
    return "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"


if __name__ == "__main__":
    sys.exit(main())
