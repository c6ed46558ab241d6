"""Prompt ids that a device's answers have told already, so that only the others are asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pytest_gptoss.client.generation import prompt_only
from pytest_gptoss.model.inputs import Prompt
from pytest_gptoss.model.results import Generation, Measurement
from pytest_gptoss.scenarios.kinds import Rendered

__all__ = ["follows_from", "told_by"]


def told_by(answers: Measurement[Generation]) -> dict[str, Generation]:
    """Return the prompts that have an answer, by id, without their answers.

    A server that answers without telling ids withholds them: asking again would tell no more.
    """
    return {
        item.prompt_id: prompt_only(item.prompt_id, item.prompt_token_ids, counted=item.prompt_tokens)
        for item in answers.items
    }


def follows_from(
    answers: Measurement[Generation], scenario: Rendered, prompts: Sequence[Prompt], *, may_ask: bool
) -> Measurement[Generation] | None:
    """Return the measurement of ``scenario`` as far as its answers tell it, without a request.

    None where prompts are left to ask for and ``may_ask`` says that somebody can be asked.
    """
    told = told_by(answers)
    asked = [prompt.id for prompt in prompts if prompt.id not in answers.left_out]
    if may_ask and not all(each in told for each in asked):
        return None
    return dataclasses.replace(
        answers,
        scenario_id=scenario.id,
        items=tuple(told.values()),
        provenance={**answers.provenance, "scenario": dataclasses.asdict(scenario)},
    )
