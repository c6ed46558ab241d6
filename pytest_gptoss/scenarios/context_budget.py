"""How long a context a scenario needs, as far as that is known before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_gptoss.model.inputs import Prompt, TokenSequence
from pytest_gptoss.scenarios.features import CUT_AFTER, TAG_TOKENS, TOOL_TOKENS
from pytest_gptoss.scenarios.kinds import Feature, Forced, Greedy, Hidden, Load, Needle, Rendered, Scenario
from pytest_gptoss.scenarios.needle_prompt import RESERVE, planned_tokens
from pytest_gptoss.scenarios.workload import Workload

__all__ = ["context_needed", "fewest_tokens"]

FRAME_TOKENS = 60
"""Of a chat prompt that are not the messages': harmony's system message and its marks."""
BYTES_A_TOKEN = 5
"""Few texts have more bytes of UTF-8 to a token."""


def context_needed(scenario: Scenario, workload: Workload) -> int:
    """Tokens of prompt and answer together, 0 where the scenario fits any context.

    A needle cell beyond ``--gptoss-max-context-len`` is not asked, so it needs nothing. What a server makes
    of a text it alone knows: prompts count ``fewest_tokens``, so that no context is called too short that
    is not. An aborted request takes what context there is.
    """
    if isinstance(scenario, Needle):
        needed = planned_tokens(scenario.length) + RESERVE
        return needed if needed <= workload.needle.max_context_len else 0
    if isinstance(scenario, Greedy):
        prompts = workload.prompt_sets[scenario.prompts].prompts[: scenario.limit]
        return max((_with_answer(prompt, workload.max_tokens) for prompt in prompts), default=0)
    if isinstance(scenario, Rendered):
        if scenario.answers is not None:
            return context_needed(scenario.answers, workload)
        return _longest(workload.prompt_sets[scenario.prompts].prompts) + 1
    if isinstance(scenario, Load):
        shape = workload.levels.get(scenario.concurrency)
        return 0 if shape is None else shape.prompt_tokens + shape.max_tokens
    if isinstance(scenario, Feature):
        return _of_feature(scenario, workload)
    if isinstance(scenario, Forced):
        if scenario.outputs is not None:
            return context_needed(scenario.outputs, workload)
        return _scored(each for each in workload.corpus if len(each.token_ids) <= workload.max_scored_tokens)
    if isinstance(scenario, Hidden):
        return _scored(workload.corpus)
    return 0


def fewest_tokens(prompt: Prompt) -> int:
    """A lower bound on a chat prompt's tokens, near the truth for prose."""
    sizes = (len(message.content.encode("utf-8", "replace")) for message in prompt.messages)
    return FRAME_TOKENS + sum(sizes) // BYTES_A_TOKEN


def _with_answer(prompt: Prompt, max_tokens: int) -> int:
    return fewest_tokens(prompt) + (prompt.max_tokens or max_tokens)


def _longest(prompts: Iterable[Prompt]) -> int:
    return max(map(fewest_tokens, prompts), default=0)


def _of_feature(scenario: Feature, workload: Workload) -> int:
    feature = scenario.feature
    if feature == "abort":
        return 0
    if feature == "tags":
        return FRAME_TOKENS + TAG_TOKENS
    if feature.startswith("tools-"):
        return FRAME_TOKENS + TOOL_TOKENS
    answer = CUT_AFTER if feature in ("cut", "bad-requests") else workload.max_tokens
    return _longest(workload.prompt_sets["features"].prompts) + answer


def _scored(sequences: Iterable[TokenSequence]) -> int:
    """One token more than the longest: a scoring request generates one."""
    return max((len(each.token_ids) + 1 for each in sequences), default=0)
