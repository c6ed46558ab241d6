"""Last-layer hidden states: what both devices see before they choose a token.

Arrays may be maps of files larger than memory: they are read once, in blocks, and pages that were
read are given back.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from pytest_gptoss.judge.against_first import against_first
from pytest_gptoss.judge.comparison import BASELINE
from pytest_gptoss.judge.evidence import pair, refuse_other_tokens
from pytest_gptoss.judge.figures import fixed
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.recovered_states import (
    States,
    are_recovered,
    at_shared_positions,
    doubt_of,
    how_had,
    told_of,
)
from pytest_gptoss.judge.roles import gpu_of
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import both, joined, say
from pytest_gptoss.model.results import HiddenStates, Measurement
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Hidden

__all__ = ["Closeness", "closeness", "hidden_cosine"]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
Plain: TypeAlias = Measurement[HiddenStates]

_BLOCK_BYTES = 1 << 19
"""Per side: small enough to stay in a core's cache while it is read five times, long enough for few calls."""
_KEPT_BYTES = 1 << 26
"""Mapped bytes per side after which the pages are given back."""
_NORM_RATIO_SLACK = 0.1
_OTHER_PLACE = 2.0
"""Factor between norms that no rounding makes: sound pairs are within a few percent."""
_SAME_WAY = 0.9
"""Cosine from which on such norms speak of where the states were taken, not of a broken device."""


@dataclass(frozen=True, slots=True, eq=False)
class Closeness:
    """Two devices' states of one sequence, position by position: float64 [n] each.

    ``cosine`` is NaN where one of the two states has no direction (zero, NaN or infinite);
    ``distance`` is |tested - reference|; the norms are Euclidean.
    """

    sequence_id: str
    cosine: FloatArray
    distance: FloatArray
    tested_norm: FloatArray
    reference_norm: FloatArray


def closeness(pairs: Iterable[tuple[HiddenStates, HiddenStates]]) -> Iterator[Closeness]:
    """Compare (tested, reference) states, one sequence at a time, in bounded memory.

    Raises InsufficientData when a pair's shapes do not fit each other or their tokens.
    """
    for tested, reference in pairs:
        _refuse_misfit(tested, reference)
        yield _compare(tested.sequence_id, tested.states, reference.states)


@against_first
@metric(
    "hidden_cosine",
    needs=lambda roles: {"npu": Hidden(roles.subject), "gpu": Hidden(gpu_of(roles))},
    depends_on=BASELINE,
    baseline=True,
    statistics=("worst sequence mean",),
)
def hidden_cosine(*, npu: Measurement[States], gpu: Measurement[States]) -> Estimate:
    """Take the worst sequence's mean cosine over its positions; n sequences, no interval.

    Where states of a device were recovered, sequences have a few positions each: then it is the mean over
    all of them, with the recovery's own uncertainty as its ``doubt``.

    A sequence in which an NPU state has no direction counts as cosine 0 and is named: that is a
    finding, not a lack of data. On the GPU's side it raises InsufficientData, and so do states that point
    the same way but whose norms differ twofold: they were not taken at the same place.

    Details: over all positions ``mean``, ``min``, ``p1``, ``median``, ``relative_l2``
    (|NPU - GPU| / |GPU|, Frobenius), ``norm_ratio`` (|NPU| / |GPU|), ``positions``; per sequence
    ``mean`` and ``min``; ``worst``; ``broken`` (sequence id -> positions without direction); a ``note``
    where norms differ noticeably; ``sources``: how each device's states were had.
    """
    recovered = are_recovered(npu, gpu)
    pairs = at_shared_positions(npu, gpu) if recovered else _whole(npu, gpu)
    compared = []
    for each in closeness(pairs):
        _refuse_broken(each.reference_norm, each.sequence_id, gpu.device)
        compared.append(each)
    broken = {
        each.sequence_id: int(np.count_nonzero(~np.isfinite(each.cosine)))
        for each in compared
        if not np.isfinite(each.cosine).all()
    }
    sequences: dict[str, Json] = {each.sequence_id: _summary(each.cosine) for each in compared}
    worst = min(sequences, key=lambda key: sequences[key]["mean"])
    details = {"worst": worst, "sequences": sequences, "broken": broken, **_overall(compared)}
    value = _mean(compared) if recovered else sequences[worst]["mean"]
    details["sources"] = [told_of(each) for each in (npu, gpu)]
    _refuse_other_place(details["norm_ratio"], value, npu.device, gpu.device)
    details["finding"] = _finding(details, value, npu.device)
    notes = [_how_had(details["sources"])]
    if norms := _norms_apart(details["norm_ratio"]):
        notes.append(
            say(
                "{device}: hidden states agree in direction as said, but {norms}",
                device=npu.device,
                norms=norms,
            )
        )
    doubt = doubt_of(npu, gpu, value)
    if recovered:
        details["way_out"] = say("take hidden states from pooling servers, or recover more positions")
        notes.append(_beside_mean(details, value, doubt))
    details["note"] = joined(notes)
    return Estimate(value, "cosine", len(compared), details=details, doubt=doubt)


def _whole(npu: Measurement[States], gpu: Measurement[States]) -> list[tuple[HiddenStates, HiddenStates]]:
    """Pairs of states of every token."""
    pairs = pair(cast(Plain, npu), cast(Plain, gpu), "sequences")
    refuse_other_tokens(pairs, npu.device, gpu.device)
    return pairs


def _mean(compared: list[Closeness]) -> float:
    """Over all positions; a state without direction counts as cosine 0."""
    return float(np.nan_to_num(np.concatenate([each.cosine for each in compared])).mean())


def _how_had(sources: Iterable[Mapping[str, Json]]) -> str:
    return say("hidden states: {ways}", ways=both(map(how_had, sources)))


def _beside_mean(details: Mapping[str, Json], value: float, doubt: float) -> str:
    worst = details["worst"]
    return say(
        "hidden states are compared by the mean cosine over all {positions} sampled positions, {cosine:.5f}, "
        "which recovery may have changed by {doubt:.2g}; worst sequence {worst} {worst_mean:.5f}, least "
        "{least:.5f}, 1% below {p1:.5f}",
        positions=details["positions"],
        cosine=value,
        doubt=doubt,
        worst=worst,
        worst_mean=details["sequences"][worst]["mean"],
        least=details["min"] or 0.0,
        p1=details["p1"] or 0.0,
    )


def _refuse_misfit(tested: HiddenStates, reference: HiddenStates) -> None:
    for item in (tested, reference):
        if item.states.ndim != 2 or len(item.states) != len(item.token_ids) or not item.states.size:
            raise InsufficientData(
                say(
                    "{sequence_id}: hidden states of shape {shape} for {token_ids} tokens: one row a "
                    "token is needed, ask for per-token embeddings (task token_embed)",
                    sequence_id=item.sequence_id,
                    shape=item.states.shape,
                    token_ids=len(item.token_ids),
                )
            )
    if tested.states.shape != reference.states.shape:
        raise InsufficientData(
            say(
                "{sequence_id}: hidden states of width {width} against {other}: the two "
                "servers do not serve the same model",
                sequence_id=tested.sequence_id,
                width=tested.states.shape[1],
                other=reference.states.shape[1],
            )
        )


def _compare(sequence_id: str, tested: Float32Array, reference: Float32Array) -> Closeness:
    n, width = tested.shape
    rows = max(1, _BLOCK_BYTES // (width * 4))
    kept = max(rows, _KEPT_BYTES // (width * 4))
    products = np.empty((4, n))
    gap = np.empty((min(rows, n), width), dtype=np.float32)
    # Overflow and NaN are not accidents here: they show as a norm that is not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, n, rows):
            ours, theirs = tested[start : start + rows], reference[start : start + rows]
            block = gap[: len(ours)]
            np.subtract(ours, theirs, out=block)
            for row, (left, right) in enumerate(
                ((ours, theirs), (ours, ours), (theirs, theirs), (block, block))
            ):
                products[row, start : start + rows] = _dots(left, right)
            if start // kept != (start + rows) // kept:
                _give_back(tested)
                _give_back(reference)
    _give_back(tested)
    _give_back(reference)
    dot, ours_squared, theirs_squared, gap_squared = products
    norms = np.sqrt(ours_squared), np.sqrt(theirs_squared)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.where(
            np.isfinite(ours_squared) & np.isfinite(theirs_squared), dot / (norms[0] * norms[1]), np.nan
        )
    return Closeness(sequence_id, np.clip(cosine, -1, 1), np.sqrt(gap_squared), *norms)


def _dots(left: Float32Array, right: Float32Array) -> Float32Array:
    """Row-wise dot products; as matrix products of one row they run at BLAS speed."""
    products: Float32Array = np.matmul(left[:, np.newaxis, :], right[:, :, np.newaxis])[:, 0, 0]
    return products


def _give_back(states: Float32Array) -> None:
    """Let go of a file map's pages that were read; they stay in the system's cache.

    Only maps that cannot hold changes of their own: of those nothing can be lost.
    """
    base: object = states
    while base is not None and not isinstance(base, mmap.mmap):
        if isinstance(base, np.memmap) and base.mode != "r":
            return
        base = getattr(base, "base", None)
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def _refuse_broken(norms: FloatArray, sequence_id: str, device: str) -> None:
    bad = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if bad.size:
        raise InsufficientData(
            say(
                "{device}: {size} hidden states of {sequence_id} are zero or not finite, first "
                "at position {bad}: the baseline itself is broken",
                device=device,
                size=bad.size,
                sequence_id=sequence_id,
                bad=int(bad[0]),
            )
        )


def _summary(cosine: FloatArray) -> dict[str, float]:
    if not np.isfinite(cosine).all():
        return {"mean": 0.0, "min": 0.0}
    return {"mean": float(cosine.mean()), "min": float(cosine.min())}


def _overall(compared: list[Closeness]) -> dict[str, Json]:
    """Figures over all positions whose cosine exists; None where there is none."""
    cosine = np.concatenate([each.cosine for each in compared])
    there = np.isfinite(cosine)
    figures: dict[str, Json] = {"positions": len(cosine)}
    if not there.any():
        return {**figures, **dict.fromkeys(("mean", "min", "p1", "median", "relative_l2", "norm_ratio"))}
    distance, ours, theirs = (
        float(np.linalg.norm(np.concatenate(column)[there]))
        for column in (
            [each.distance for each in compared],
            [each.tested_norm for each in compared],
            [each.reference_norm for each in compared],
        )
    )
    cosine = cosine[there]
    return {
        **figures,
        "mean": float(cosine.mean()),
        "min": float(cosine.min()),
        "p1": float(np.quantile(cosine, 0.01)),
        "median": float(np.median(cosine)),
        "relative_l2": distance / theirs,
        "norm_ratio": ours / theirs,
    }


def _finding(details: dict[str, Json], value: float, device: str) -> str:
    broken = details["broken"]
    if broken:
        first, count = next(iter(broken.items()))
        return say(
            "{device}: states that are zero or not finite in {broken} sequences, first "
            "{first} ({count} positions): look for NaN",
            device=device,
            broken=len(broken),
            first=first,
            count=count,
        )
    norms = _norms_apart(details["norm_ratio"])
    if norms:
        return say(
            "worst {worst} with mean cosine {cosine:.5f}, and {norms}",
            worst=details["worst"],
            cosine=value,
            norms=norms,
        )
    return say("worst {worst} with mean cosine {cosine:.5f}", worst=details["worst"], cosine=value)


def _norms_apart(ratio: float | None) -> str | None:
    """What to say of norms that differ noticeably; cosine alone does not see it."""
    if ratio is None or abs(ratio - 1) <= _NORM_RATIO_SLACK:
        return None
    return say(
        "norms differ by a factor of {ratio}: are both states taken after the final norm?",
        ratio=fixed(ratio, 3),
    )


def _refuse_other_place(ratio: float | None, cosine: float, tested: str, reference: str) -> None:
    """States that point apart are a device's fault, whatever their norms; these point the same way."""
    if ratio is not None and cosine >= _SAME_WAY and not 1 / _OTHER_PLACE <= ratio <= _OTHER_PLACE:
        raise InsufficientData(
            say(
                "hidden states of {tested} are {ratio:.3g} times as long as those of "
                "{reference}, yet point the same way: one side is taken before the final norm or "
                "is normalised; start both pooling servers with --pooler-config "
                '\'{{"task":"token_embed","use_activation":false}}\' and record files again',
                tested=tested,
                ratio=ratio,
                reference=reference,
            )
        )
