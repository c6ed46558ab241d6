"""How long a context a scenario needs, as far as that is known before anything is sent."""

from __future__ import annotations

from pytest_gptoss.measure.needle import RESERVE, planned_tokens
from pytest_gptoss.measure.workload import Workload
from pytest_gptoss.records import Greedy, Load, Needle, Scenario

__all__ = ["context_needed"]


def context_needed(scenario: Scenario, workload: Workload) -> int:
    """Tokens of prompt and answer together, 0 where the scenario fits any context.

    A needle cell beyond ``--gptoss-max-context-len`` is not asked, so it needs nothing. Of an answer only
    its length is known: its prompt is what the server makes of it.
    """
    if isinstance(scenario, Needle):
        needed = planned_tokens(scenario.length) + RESERVE
        return needed if needed <= workload.needle.max_context_len else 0
    if isinstance(scenario, Greedy):
        prompts = workload.prompt_sets[scenario.prompts].prompts
        return max((prompt.max_tokens or workload.max_tokens for prompt in prompts), default=0)
    if isinstance(scenario, Load):
        shape = workload.levels.get(scenario.concurrency)
        return 0 if shape is None else shape.prompt_tokens + shape.max_tokens
    return 0
