"""Hidden states recovered from log-probabilities: whether they may be judged, and at which positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from pytest_gptoss.judge.evidence import cut_to, pair, refuse_other_tokens, sound_items
from pytest_gptoss.model.arrays import FloatArray, IntArray
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import HiddenStates, Measurement, RecoveredStates

__all__ = ["Pairs", "States", "are_recovered", "at_shared_positions", "doubt_of", "how_had", "told_of"]

States: TypeAlias = HiddenStates | RecoveredStates
Pairs: TypeAlias = Sequence[tuple[HiddenStates, HiddenStates]]


def are_recovered(*measurements: Measurement[States]) -> bool:
    """Whether any of them holds states at some positions only."""
    return any(isinstance(item, RecoveredStates) for each in measurements for item in each.items)


def at_shared_positions(npu: Measurement[States], gpu: Measurement[States]) -> Pairs:
    """Pairs of states at the positions that both have, where one or both were recovered.

    Raises InsufficientData where a recovery is not sound, or where there are no such positions.
    """
    for each in (npu, gpu):
        pass
    sound_items(npu, "sequences"), sound_items(gpu, "sequences")
    pairs = pair(cut_to(npu, gpu), cut_to(gpu, npu), "sequences")
    refuse_other_tokens(pairs, npu.device, gpu.device)
    shared = [(ours, theirs, _shared(ours, theirs)) for ours, theirs in pairs]
    found = [(_at(ours, places), _at(theirs, places)) for ours, theirs, places in shared if places.size]
    if not found:
        raise InsufficientData(
            say(
                "{npu} and {gpu} have hidden states at no position that is the same: recover both "
                "with the same --gptoss-hidden-positions",
                npu=npu.device,
                gpu=gpu.device,
            )
        )
    return found


def _positions(item: States) -> IntArray:
    return (
        item.positions
        if isinstance(item, RecoveredStates)
        else np.arange(len(item.token_ids), dtype=np.int32)
    )


def _shared(ours: States, theirs: States) -> IntArray:
    return np.intersect1d(_positions(ours), _positions(theirs)).astype(np.int32)


def _at(item: States, places: IntArray) -> HiddenStates:
    """The states at some positions, as if the sequence had these alone."""
    rows = np.searchsorted(_positions(item), places)
    return HiddenStates(
        item.sequence_id, tuple(item.token_ids[place] for place in places.tolist()), item.states[rows]
    )


def doubt_of(*measurements: Measurement[States]) -> float:
    """By how much recovery is expected to lower the mean cosine: the sum over devices of their mean."""
    return float(sum(np.mean(_joined(each, "doubts")) for each in measurements if are_recovered(each)))


def told_of(measurement: Measurement[States]) -> dict[str, Json]:
    """What reports tell of how a device's states were had."""
    if not are_recovered(measurement):
        return {"way": "pooling"}
    return {
        "way": "logprobs",
        "positions": len(_joined(measurement, "positions")),
        "logprobs": int(_joined(measurement, "counts").min()),
        "residual": float(np.median(_joined(measurement, "residuals"))),
        "explained": float(np.median(_joined(measurement, "explained"))),
        "condition": float(_joined(measurement, "conditions").max()),
        "mean_square": float(_joined(measurement, "mean_squares").mean()),
        "doubt": float(_joined(measurement, "doubts").mean()),
    }


def how_had(told: Mapping[str, Json], device: str) -> str:
    """The same in words."""
    if told["way"] == "pooling":
        return say("{device} from /pooling", device=device)
    return say(
        "{device} recovered from {logprobs} log-probabilities at each of {positions} positions (residual "
        "{residual:.2g} nat, condition {condition:.2g})",
        device=device,
        **{name: told[name] for name in ("logprobs", "positions", "residual", "condition")},
    )


def _joined(measurement: Measurement[States], name: str) -> FloatArray:
    return np.concatenate([getattr(each, name) for each in measurement.items])
