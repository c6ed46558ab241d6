"""Whether a device errs where a prompt is cut into chunks.

A prompt is computed in chunks of C tokens. The first token of a new chunk stands at position e, a multiple
of C; what is computed there predicts the token at e + 1. Beside k streams that decode, a chunk has C - k
tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_gptoss.judge.conditions import GPU
from pytest_gptoss.judge.evidence import scored_pairs
from pytest_gptoss.judge.facts import FactBook, Stated, facts_of
from pytest_gptoss.judge.intervals import Interval, bootstrap
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles, gpu_of
from pytest_gptoss.model.arrays import FloatArray
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement, ScoredSequence
from pytest_gptoss.model.subjects import CHUNK_FACT, ServerFacts
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Chunked, Preflight, Scenario

__all__ = ["BEHIND", "BESIDE", "LEAST_EDGES", "REACH", "chunked_prefill"]

BESIDE = 4
"""Streams that decode while prompts are scored a second time."""
BEHIND = 4
"""Positions behind an edge that count as its own."""
REACH = 128
"""Positions on each side of an edge that are looked at: the model's sliding window."""
LEAST_EDGES = 16
_UNKNOWN = 2048
ASSUMED = "assumed"

Scores = Measurement[ScoredSequence]


def _alone_and_beside(roles: Roles) -> Mapping[str, Scenario]:
    return {
        "server": Preflight(roles.subject),
        "alone": Chunked(roles.subject),
        "beside": Chunked(roles.subject, BESIDE),
        "gpu": Chunked(gpu_of(roles)),
    }


@metric(
    "chunked_prefill",
    needs=_alone_and_beside,
    condition=GPU,
    baseline=True,
    statistics=("difference",),
    context=("stated",),
)
def chunked_prefill(
    *, server: Measurement[ServerFacts], alone: Scores, beside: Scores, gpu: Scores, stated: Stated
) -> Estimate:
    """Mean absolute difference from the baseline behind chunk edges less that elsewhere near them, in nats.

    Behind an edge are its ``BEHIND`` positions, elsewhere the others within ``REACH``. The value is the
    larger of two: the prompts scored alone, and beside ``BESIDE`` streams that decode; the baseline scores
    alone. The interval is a paired bootstrap over edges: both devices' scores of an edge stay together.
    Details: ``chunk`` (tokens), ``chunk_source``, ``scored_alone`` and ``scored_beside`` (``edges``,
    ``behind``, ``elsewhere``, ``difference``), and the finding.

    Raises InsufficientData with fewer than ``LEAST_EDGES`` edges, and when the devices scored other tokens.
    """
    chunk, source = _chunk(server, alone, stated)
    found = {
        "scored_alone": _parting(alone, gpu, chunk),
        "scored_beside": _parting(beside, gpu, chunk - BESIDE),
    }
    worse = max(found, key=lambda name: found[name].difference)
    details: dict[str, Json] = {
        "chunk": chunk,
        "chunk_source": source,
        **{name: each.row() for name, each in found.items()},
        "finding": say(
            "{device} from {other} behind chunk edges: {alone:.2g} nat more than elsewhere alone, "
            "{beside:.2g} beside {streams} streams ({edges} edges, chunks of {chunk} tokens{assumed})",
            device=alone.device,
            other=gpu.device,
            alone=found["scored_alone"].difference,
            beside=found["scored_beside"].difference,
            streams=BESIDE,
            edges=len(found["scored_alone"].units),
            chunk=chunk,
            assumed=_assumed_words(alone.device) if source == ASSUMED else "",
        ),
    }
    return Estimate(found[worse].difference, "nat", len(found[worse].units), found[worse].interval, details)


def _chunk(server: Measurement[ServerFacts], alone: Scores, stated: Stated) -> tuple[int, str]:
    """Tokens of a chunk, and who says so."""
    fact = FactBook.of(alone.device, facts_of(server), stated).get(CHUNK_FACT)
    if fact is not None and fact.value.isdecimal():
        return int(fact.value), fact.source
    assumed = alone.provenance.get("chunk_tokens", _UNKNOWN)
    return (assumed if isinstance(assumed, int) else _UNKNOWN), ASSUMED


def _assumed_words(device: str) -> str:
    return say(", assumed: state it with --gptoss-info {fact}", fact=f"{device}.{CHUNK_FACT}=N")


# -- edges --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Parting:
    """``units`` [edges, 4]: sum of absolute differences and count of positions, behind and elsewhere."""

    units: FloatArray

    @property
    def behind(self) -> float:
        return float(self.units[:, 0].sum() / self.units[:, 1].sum())

    @property
    def elsewhere(self) -> float:
        return float(self.units[:, 2].sum() / self.units[:, 3].sum())

    @property
    def difference(self) -> float:
        return self.behind - self.elsewhere

    @property
    def interval(self) -> Interval | None:
        return bootstrap(self.units, _difference)

    def row(self) -> dict[str, Json]:
        return {
            "edges": len(self.units),
            "behind": self.behind,
            "elsewhere": self.elsewhere,
            "difference": self.difference,
        }


def _parting(npu: Scores, gpu: Scores, chunk: int) -> _Parting:
    pairs = [] if _all_left_out(npu, gpu) else scored_pairs(npu, gpu)
    units = [unit for ours, theirs in pairs for unit in _units(ours, theirs, chunk)]
    if len(units) < LEAST_EDGES:
        raise _too_few(len(units), npu, gpu, chunk)
    return _Parting(np.array(units))


def _all_left_out(*measurements: Scores) -> bool:
    return any(not each.items and not each.failures and each.left_out for each in measurements)


def _units(ours: ScoredSequence, theirs: ScoredSequence, chunk: int) -> Sequence[FloatArray]:
    """A row for each edge of a sequence that has all positions behind it."""
    apart, first = np.abs(ours.logprobs - theirs.logprobs), ours.first
    if chunk <= 2 * BEHIND:
        return ()
    reach = min(REACH, chunk // 2)  # the window ends before the next edge's begins
    rows = []
    for edge in range(chunk, len(ours.token_ids) - BEHIND, chunk):
        start = edge + 1 - first  # the entry of the token that the chunk's first position predicts
        behind = apart[start : start + BEHIND]
        elsewhere = np.concatenate(
            [apart[max(0, start - reach) : start], apart[start + BEHIND : start + reach]]
        )
        rows.append(np.array([behind.sum(), len(behind), elsewhere.sum(), len(elsewhere)]))
    return rows


def _difference(sums: FloatArray) -> FloatArray:
    difference: FloatArray = sums[:, 0] / sums[:, 1] - sums[:, 2] / sums[:, 3]
    return difference


def _too_few(edges: int, npu: Scores, gpu: Scores, chunk: int) -> InsufficientData:
    reasons = [
        say("{device}: {reason}", device=each.device, reason=reason)
        for each in (npu, gpu)
        for reason in each.left_out.values()
    ]
    return InsufficientData(
        say(
            "{edges} edges of chunks of {chunk} tokens lie in the scored prompts, {least} is the least "
            "({why}): serve with --max-num-batched-tokens 2048 and state it with --gptoss-info "
            "DEVICE.max_num_batched_tokens=2048, or allow long prompts with --gptoss-max-scored-tokens 8192",
            edges=edges,
            chunk=chunk,
            least=LEAST_EDGES,
            why=reasons[0] if reasons else say("no prompt was left out"),
        )
    )
