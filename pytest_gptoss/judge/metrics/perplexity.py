"""Perplexity of one device against another's, on the same tokens."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pytest_gptoss.judge.against_first import against_first
from pytest_gptoss.judge.comparison import BASELINE, cpu_on_baseline
from pytest_gptoss.judge.conditions import CPU
from pytest_gptoss.judge.evidence import cut_to, scored_pairs
from pytest_gptoss.judge.intervals import bootstrap, magnitude
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import gpu_of
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement, ScoredSequence
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Forced

__all__ = ["baseline_perplexity", "perplexity_diff"]

FloatArray = npt.NDArray[np.float64]

_MAX_LOG = 690.0
"""A broken model's mean loss can pass what exp() can hold; its perplexity then reads as exp(690)."""


@against_first
@metric(
    "perplexity_diff",
    needs=lambda roles: {"npu": Forced(roles.subject), "gpu": Forced(gpu_of(roles))},
    depends_on=BASELINE,
    baseline=True,
    statistics=("relative difference",),
)
def perplexity_diff(*, npu: Measurement[ScoredSequence], gpu: Measurement[ScoredSequence]) -> Estimate:
    """|PPL(NPU) - PPL(GPU)| in percent of PPL(GPU), over all scored tokens.

    PPL = exp(mean negative log-likelihood per token). Paired BCa bootstrap over sequences of the
    signed difference, folded at zero. Details as ``relative_difference`` gives them.
    """
    return relative_difference(npu, gpu, tested="npu", reference="gpu")


@metric(
    "baseline_perplexity",
    needs=cpu_on_baseline,
    condition=CPU,
    baseline=True,
    statistics=("relative difference",),
)
def baseline_perplexity(*, gpu: Measurement[ScoredSequence], cpu: Measurement[ScoredSequence]) -> Estimate:
    """|PPL(GPU) - PPL(CPU)| in percent of PPL(CPU), over the sequences that the CPU scored."""
    return relative_difference(cut_to(gpu, cpu), cpu, tested="gpu", reference="cpu")


def relative_difference(
    tested_scores: Measurement[ScoredSequence],
    reference_scores: Measurement[ScoredSequence],
    *,
    tested: str,
    reference: str,
) -> Estimate:
    """|PPL(tested) - PPL(reference)| in percent of the reference's.

    ``tested`` and ``reference`` are role names. Details: ``perplexity`` per role, ``difference``
    (plain, tested minus reference), ``ratio``, ``relative_percent`` and its interval (signed),
    ``tokens``, ``sequences`` (id -> tokens and perplexity per role), ``left_out``.
    """
    pairs = scored_pairs(tested_scores, reference_scores)
    sums = np.array(
        [[-ours.logprobs.sum(), -theirs.logprobs.sum(), len(ours.logprobs)] for ours, theirs in pairs]
    )
    total = sums.sum(axis=0)
    ours, theirs = _perplexity(total[0], total[2]), _perplexity(total[1], total[2])
    signed = float(_relative_percent(total[np.newaxis])[0])
    interval = bootstrap(sums, _relative_percent)
    details: dict[str, Json] = {
        "perplexity": {tested: ours, reference: theirs},
        "difference": ours - theirs,
        "ratio": 1 + signed / 100,
        "relative_percent": signed,
        "relative_percent_interval": list(interval) if interval is not None else None,
        "tokens": int(total[2]),
        "sequences": {
            item.sequence_id: {
                "tokens": int(row[2]),
                tested: _perplexity(row[0], row[2]),
                reference: _perplexity(row[1], row[2]),
            }
            for (item, _), row in zip(pairs, sums, strict=True)
        },
        "left_out": dict(reference_scores.left_out),
        "finding": say(
            "PPL({tested}) {ours:.5g}, PPL({reference}) {theirs:.5g}, difference {apart:+.3g}",
            tested=tested.upper(),
            ours=ours,
            reference=reference.upper(),
            theirs=theirs,
            apart=ours - theirs,
        ),
    }
    return Estimate(
        abs(signed),
        f"% of PPL({reference.upper()})",
        len(pairs),
        magnitude(interval),
        details,
    )


def _perplexity(loss: float, tokens: float) -> float:
    return float(np.exp(min(loss / tokens, _MAX_LOG)))


def _relative_percent(sums: FloatArray) -> FloatArray:
    """Rows of (loss tested, loss reference, tokens) to 100 * (PPL tested / PPL reference - 1)."""
    gap: FloatArray = (sums[:, 0] - sums[:, 1]) / sums[:, 2]
    return 100 * np.expm1(np.minimum(gap, _MAX_LOG))
