"""Whether two devices' log-probabilities are farther apart beyond a length of text than up to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from pytest_gptoss.judge.conditions import GPU
from pytest_gptoss.judge.drift_points import Pair, drift_steps, not_compared, paired_points
from pytest_gptoss.judge.intervals import bootstrap
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.arrays import FloatArray
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import DriftPoint, Measurement
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Scenario

__all__ = ["LEAST", "drift_beyond"]

LEAST = 16
"""Fewest tokens on either side of the split: fewer say nothing about it."""


def _through(split: int, roles: Roles) -> Mapping[str, Scenario]:
    """All of the run's position drift, measured once for all, and one length beyond the split at least."""
    return drift_steps(roles, max((2 * split, *roles.needle_lengths)))


@metric(
    "drift_beyond_4k",
    needs=partial(_through, 4096),
    condition=GPU,
    baseline=True,
    statistics=("difference",),
    arguments={"split": 4096},
)
@metric(
    "drift_beyond_1k",
    needs=partial(_through, 1024),
    condition=GPU,
    baseline=True,
    statistics=("difference",),
    arguments={"split": 1024},
)
def drift_beyond(*, split: int, **segments: Measurement[DriftPoint]) -> Estimate:
    """Mean absolute difference from the baseline at spots beyond ``split`` tokens less that up to it, nats.

    ``segments`` are those of ``position_drift``. The interval is a paired bootstrap over positions: both
    devices' log-probabilities of a position stay together. Details: ``split``, ``beyond`` and ``up_to``
    (nats), ``beyond_n`` and ``up_to_n`` (positions), ``absent`` and the finding in words.

    Raises InsufficientData with fewer than ``LEAST`` positions on either side, or when the texts differ.
    """
    npu = [each for name, each in segments.items() if name.startswith("npu_")]
    gpu = [each for name, each in segments.items() if name.startswith("gpu_")]
    pairs = paired_points(npu, gpu)
    absent = not_compared(npu, gpu, compared=len(pairs))
    units = _units(pairs, split)
    _refuse_few(units, split, absent)
    up_to, beyond = (float(total / n) for n, total in units.sum(axis=0).reshape(2, 2))
    details: dict[str, Json] = {
        "split": split,
        "beyond": beyond,
        "up_to": up_to,
        "beyond_n": int(units[:, 2].sum()),
        "up_to_n": int(units[:, 0].sum()),
        "absent": absent,
        "finding": say(
            "{device} from {other}: {beyond:.2g} nat beyond {split} tokens, {up_to:.2g} up to them",
            device=npu[0].device,
            other=gpu[0].device,
            beyond=beyond,
            split=split,
            up_to=up_to,
        ),
    }
    return Estimate(beyond - up_to, "nat", len(pairs), bootstrap(units, _difference), details)


def _units(pairs: Sequence[Pair], split: int) -> FloatArray:
    """[positions, 4]: 1 and the absolute difference up to the split, then beyond it; 0 on the other side."""
    rows = np.zeros((len(pairs), 4))
    for row, (ours, theirs) in zip(rows, pairs, strict=True):
        side = 2 if ours.spot > split else 0
        row[side : side + 2] = 1, abs(ours.logprob - theirs.logprob)
    return rows


def _difference(sums: FloatArray) -> FloatArray:
    """Difference of the two means of each resample, [m, 4] -> [m]; one without either side counts as none."""
    n = np.maximum(sums[:, (0, 2)], 1)
    means = sums[:, (1, 3)] / n
    difference: FloatArray = np.where((sums[:, 0] > 0) & (sums[:, 2] > 0), means[:, 1] - means[:, 0], 0.0)
    return difference


def _refuse_few(units: FloatArray, split: int, absent: str | None) -> None:
    up_to, beyond = int(units[:, 0].sum()), int(units[:, 2].sum())
    if min(up_to, beyond) >= LEAST:
        return
    raise InsufficientData(
        say(
            "{up_to} positions up to {split} tokens and {beyond} beyond can be compared, {least} of each are "
            "the least ({absent}): serve with --max-model-len {longer} or more, and allow it with "
            "--gptoss-max-context-len",
            up_to=up_to,
            split=split,
            beyond=beyond,
            least=LEAST,
            absent=absent or say("no more were asked for"),
            longer=2 * split,
        )
    )
