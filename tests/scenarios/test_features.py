"""Trying a feature: what a server's habits must not be mistaken for."""

import pytest

from pytest_gptoss.scenarios.features import FeatureTrial, item_ids
from pytest_gptoss.scenarios.kinds import Feature
from pytest_gptoss.scenarios.prompts import prompt_set

pytestmark = pytest.mark.asyncio


class Echo:
    """A client that tells what it was asked."""

    async def chat(self, prompt, **options):
        return "streamed", prompt.messages[0].content

    async def chat_unary(self, prompt, **options):
        return "whole", prompt.messages[0].content


async def test_a_tool_call_is_asked_for_streamed_and_twice_whole():
    scenario = Feature("npu", "tools-auto")
    trial = FeatureTrial(scenario, Echo(), prompt_set("none", []), max_tokens=8, context=None)
    asked = [await trial.ask(each) for each in item_ids("tools-auto", prompt_set("none", []))]
    assert asked[:3] == [(form, "What is the weather in Paris?") for form in ("streamed", "whole", "whole")]
    assert len(asked) == 9
