"""How often the error ratio alarms, by simulation from errors that were measured.

``data/measured_errors.json`` holds absolute errors against the FP32 reference in nats, position by position,
on answers of the tiny checkpoint: of real vLLM in bfloat16 as the baseline, and of the reference server in
bfloat16 as the device, sound and damaged. ``tools/measured_errors.py`` makes it.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from made import measurement, scored

from pytest_gptoss.judge.metrics.error_ratio import error_ratio
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.subjects import KnownFact, ServerFacts

MEASURED = Path(__file__).parent / "data" / "measured_errors.json"
ERRORS = {
    name: [np.array(row) for row in rows] for name, rows in json.loads(MEASURED.read_text("utf-8")).items()
}
LIMIT = load_profile("embedded").thresholds["precision.error_ratio"].limit
BASE = -50.0
PAIRS, SEQUENCES = 200, 24
FACTS = ServerFacts(
    run="r", addresses=(), waited_s=0.0, listed=("m",), model="m",
    known=(KnownFact("dtype", "float32", "/server_info"),),
)  # fmt: skip


def sequences(name):
    return [scored("s", BASE + row) for row in ERRORS[name]]


def simulated_ratios(device):
    """Error ratios of a device on sequences drawn anew, pair by pair, from those that were measured."""
    exact = [scored("s", np.full(len(row), BASE)) for row in ERRORS["baseline"]]
    sides = {"npu": sequences(device), "gpu": sequences("baseline"), "cpu": exact}
    rng = np.random.default_rng(17)
    for _ in range(PAIRS):
        chosen = rng.integers(len(exact), size=SEQUENCES)
        made = {
            name: measurement(
                name,
                [dataclasses.replace(rows[each], sequence_id=f"s{n}") for n, each in enumerate(chosen)],
            )
            for name, rows in sides.items()
        }
        yield error_ratio(**made, reference=measurement("cpu", [FACTS]), stated={}).value


@pytest.mark.parametrize(
    ("device", "least", "most"),
    [("sound", 0, 2), ("weights-6bit", 190, 200), ("noise-0.01", 190, 200)],
)
def test_sound_pairs_do_not_alarm_and_damaged_ones_are_caught(device, least, most):
    beyond = sum(ratio > LIMIT for ratio in simulated_ratios(device))
    assert least <= beyond <= most


def test_all_devices_were_measured_on_the_same_positions():
    lengths = {name: [len(row) for row in rows] for name, rows in ERRORS.items()}
    assert set(lengths) == {"baseline", "sound", "weights-6bit", "noise-0.01"}
    assert len({tuple(each) for each in lengths.values()}) == 1
    assert min(map(min, (np.concatenate(rows) for rows in ERRORS.values()))) >= 0
