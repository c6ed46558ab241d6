"""What comparisons of devices share: scenarios that several metrics need, and rows that must hold."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.judge.roles import Roles, cpu_of, gpu_of
from pytest_gptoss.scenarios.kinds import Forced, Greedy, Scenario

__all__ = [
    "BASELINE",
    "SAME_INPUTS",
    "answers",
    "answers_free_and_forced",
    "both_answers",
    "both_on_baseline",
    "cpu_on_baseline",
    "scores_of_answers",
]

BASELINE = ("baseline.perplexity", "baseline.kl")
"""Rows without which the baseline is unsound."""
SAME_INPUTS = ("inputs.identical", *BASELINE)
"""Rows without which answers cannot be compared."""


def answers(
    device: str, roles: Roles, *, concurrency: int = 1, repeat: int = 0, limit: int | None = None
) -> Greedy:
    """A device's greedy answers, to the prompt ids of this run."""
    return Greedy(
        device, concurrency=concurrency, repeat=repeat, limit=limit, prompt_ids_of=roles.prompt_ids_of
    )


def scores_of_answers(device: str, roles: Roles, *, scored_by: str, limit: int | None = None) -> Forced:
    """Scores that one device gives to the answers of another, or to its own."""
    return Forced(scored_by, source=device, limit=limit, outputs=answers(device, roles))


def both_answers(roles: Roles) -> Mapping[str, Scenario]:
    """The answers of the device under test and of the baseline."""
    return {"npu": answers(roles.subject, roles), "gpu": answers(gpu_of(roles), roles)}


def answers_free_and_forced(roles: Roles) -> Mapping[str, Scenario]:
    """The answers of both, and the scores that the device under test gives to the baseline's."""
    return {
        **both_answers(roles),
        "forced": scores_of_answers(gpu_of(roles), roles, scored_by=roles.subject),
    }


def both_on_baseline(roles: Roles) -> Mapping[str, Scenario]:
    """The scores that both give to the baseline's answers."""
    gpu = gpu_of(roles)
    return {
        "npu": scores_of_answers(gpu, roles, scored_by=roles.subject),
        "gpu": scores_of_answers(gpu, roles, scored_by=gpu),
    }


def cpu_on_baseline(roles: Roles) -> Mapping[str, Scenario]:
    """The scores that baseline and CPU reference give to the baseline's answers.

    The GPU's scores of all sequences are measured anyway; a metric takes those that the CPU scored too.
    """
    gpu, cpu = gpu_of(roles), cpu_of(roles)
    return {
        "gpu": scores_of_answers(gpu, roles, scored_by=gpu),
        "cpu": scores_of_answers(gpu, roles, scored_by=cpu, limit=roles.cpu_sequences),
    }
