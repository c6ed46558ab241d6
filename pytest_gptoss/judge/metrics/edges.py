"""Three devices, three comparisons: when two disagree, the third tells which of them is wrong."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.judge.comparison import both_on_baseline, cpu_on_baseline
from pytest_gptoss.judge.evidence import cut_to
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.metrics.forced import mean_divergence
from pytest_gptoss.judge.metrics.perplexity import relative_difference
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement, ScoredSequence
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Scenario

__all__ = ["edges", "odd_one_out"]

_APART = 2.0
"""The odd one is at least so many times farther from the others than they are from each other."""
_NOTICEABLE = 0.01
"""Nats. Devices closer than this agree; which is a little farther off is then of no interest."""

Scores = Measurement[ScoredSequence]


def _all_on_baseline(roles: Roles) -> Mapping[str, Scenario]:
    both = both_on_baseline(roles)
    return both if roles.cpu is None else {**both, "cpu": cpu_on_baseline(roles)["cpu"]}


@metric("edges", needs=_all_on_baseline, baseline=True)
def edges(*, npu: Scores, gpu: Scores, cpu: Scores | None = None) -> Estimate:
    """Perplexity ratio and mean KL on every edge there is; the value is the largest KL in nats.

    With a CPU reference all edges are taken on the sequences that the CPU scored (some of
    the baseline's). Of the two devices of an edge the second is the reference:
    npu-gpu, npu-cpu, gpu-cpu. Details: ``edges`` (name -> ``perplexity_ratio``, ``kl``, ``n``) and
    ``odd_one_out`` (a role, or None).
    """
    scores = {"npu": npu, "gpu": gpu} if cpu is None else {"npu": cut_to(npu, cpu), "gpu": cut_to(gpu, cpu)}
    if cpu is not None:
        scores["cpu"] = cpu
    measured = {
        f"{tested}-{reference}": _edge(scores, tested, reference)
        for tested, reference in (("npu", "gpu"), ("npu", "cpu"), ("gpu", "cpu"))
        if reference in scores
    }
    odd = odd_one_out({name: edge["kl"] for name, edge in measured.items()})
    details: dict[str, Json] = {"edges": measured, "odd_one_out": odd}
    if odd is not None:
        details["finding"] = say("{odd} is the odd one out: the two others agree", odd=odd)
    largest = max(edge["kl"] for edge in measured.values())
    return Estimate(largest, "nat", min(edge["n"] for edge in measured.values()), details=details)


def odd_one_out(divergences: Mapping[str, float]) -> str | None:
    """Name the device both others are far from while they are close to each other; None if none is.

    ``divergences`` by edge name, "npu-gpu" and so on; needs all three.
    """
    if len(divergences) < 3:
        return None
    closest = min(divergences, key=lambda name: divergences[name])
    nearest_other = min(value for name, value in divergences.items() if name != closest)
    if nearest_other < max(_NOTICEABLE, _APART * divergences[closest]):
        return None
    (odd,) = {"npu", "gpu", "cpu"} - set(closest.split("-"))
    return odd


def _edge(scores: Mapping[str, Scores], tested: str, reference: str) -> dict[str, Json]:
    perplexity = relative_difference(scores[tested], scores[reference], tested=tested, reference=reference)
    divergence = mean_divergence(scores[tested], scores[reference])
    return {"perplexity_ratio": perplexity.details["ratio"], "kl": divergence.value, "n": divergence.n}
