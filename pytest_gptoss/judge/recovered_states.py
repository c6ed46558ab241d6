"""Hidden states recovered from log-probabilities: whether they may be judged, and at which positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from pytest_gptoss.judge.evidence import cut_to, pair, refuse_other_tokens, sound_items
from pytest_gptoss.judge.hidden_checks import why_unsound
from pytest_gptoss.judge.hidden_uncertainty import SERVED, Blur, cosine_error, uncertainty_of_mean
from pytest_gptoss.model.arrays import IntArray
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import HiddenStates, Measurement, RecoveredStates, StateFit

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
        _refuse_unsound(each)
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


def _refuse_unsound(measurement: Measurement[States]) -> None:
    """Raise InsufficientData where one position's state cannot be trusted."""
    for item in sound_items(measurement, "sequences"):
        for fit in item.fits if isinstance(item, RecoveredStates) else ():
            unsound = why_unsound(fit)
            if unsound is not None:
                raise InsufficientData(
                    say(
                        "{device}: the hidden state of {sequence_id} at position {position} was not "
                        "recovered: {unsound}",
                        device=measurement.device,
                        sequence_id=item.sequence_id,
                        position=fit.position,
                        unsound=unsound,
                    )
                )


def _positions(item: States) -> IntArray:
    if isinstance(item, RecoveredStates):
        return np.array([fit.position for fit in item.fits], dtype=np.int32)
    return np.arange(len(item.token_ids), dtype=np.int32)


def _shared(ours: States, theirs: States) -> IntArray:
    return np.intersect1d(_positions(ours), _positions(theirs)).astype(np.int32)


def _at(item: States, places: IntArray) -> HiddenStates:
    """The states at some positions, as if the sequence had these alone."""
    rows = np.searchsorted(_positions(item), places)
    return HiddenStates(
        item.sequence_id, tuple(item.token_ids[place] for place in places.tolist()), item.states[rows]
    )


def doubt_of(npu: Measurement[States], gpu: Measurement[States], cosine: float) -> float:
    """How far the mean cosine may be off because states were recovered, at 95%; 0 where none was.

    ``cosine``: the mean itself, which stands for that of every position.
    """
    blurs = [_blurs(each) for each in (npu, gpu)]
    count = min((len(each) for each in blurs if each), default=0)
    if not count:
        return 0.0
    ours, theirs = (each[:count] or [SERVED] * count for each in blurs)
    pairs = zip(ours, theirs, strict=True)
    return uncertainty_of_mean([cosine_error(cosine, one, other) for one, other in pairs])


def _blurs(measurement: Measurement[States]) -> list[Blur]:
    return [Blur.of(fit) for fit in _fits(measurement)]


def _fits(measurement: Measurement[States]) -> list[StateFit]:
    return [fit for item in measurement.items if isinstance(item, RecoveredStates) for fit in item.fits]


def told_of(measurement: Measurement[States]) -> dict[str, Json]:
    """What reports tell of how a device's states were had."""
    fits = _fits(measurement)
    if not fits:
        return {"device": measurement.device, "way": "pooling"}
    return {
        "device": measurement.device,
        "way": "logprobs",
        "positions": len(fits),
        "logprobs": min(fit.n for fit in fits),
        "residual": float(np.median([fit.residual for fit in fits])),
        "explained": float(np.median([fit.explained for fit in fits])),
        "condition": max(fit.condition for fit in fits),
        "scale": float(np.mean([fit.scale for fit in fits])),
    }


def how_had(told: Mapping[str, Json]) -> str:
    """The same in words."""
    if told["way"] == "pooling":
        return say("{device} from /pooling", device=told["device"])
    return say(
        "{device} recovered from {logprobs} log-probabilities at each of {positions} positions (residual "
        "{residual:.2g} nat, rounding explains {explained:.2g}; condition {condition:.2g})",
        device=told["device"],
        logprobs=told["logprobs"],
        positions=told["positions"],
        residual=told["residual"],
        explained=told["explained"],
        condition=told["condition"],
    )
