"""Trying a feature: what a server's habits must not be mistaken for."""

import asyncio

import pytest

from pytest_gptoss.errors import DialectError
from pytest_gptoss.measure import features
from pytest_gptoss.measure.features import FeatureTrial, item_ids
from pytest_gptoss.measure.prompts import prompt_set
from pytest_gptoss.records import Feature

pytestmark = pytest.mark.asyncio


class Counting:
    """A client that tells these counts of running requests, one after the other."""

    def __init__(self, counts):
        self._counts = iter(counts)

    async def metrics_text(self):
        return f"vllm:num_requests_running {next(self._counts)}.0\n"

    async def run_on(self, token_ids, *, max_tokens, arrived):
        for count in range(1, features.ABORT_AFTER + 1):
            arrived(count)
        await asyncio.Event().wait()


@pytest.mark.parametrize("after", [0, 1])
async def test_a_request_that_is_left_is_watched(monkeypatch, after):
    monkeypatch.setattr(features, "ABORT_PATIENCE_S", 0.0)
    monkeypatch.setattr(features, "ABORT_POLL_S", 0.0)
    trial = FeatureTrial(
        Feature("npu", "abort"),
        Counting([0, 1, 1, after]),
        prompt_set("none", []),
        max_tokens=8,
        context=None,
    )
    found = await trial.ask("abort")
    assert (found.before, found.during, found.after[-1][1]) == (0, 1, after)


class Echo:
    """A client that tells what it was asked."""

    async def chat(self, prompt, **options):
        return "streamed", prompt.messages[0].content

    async def chat_whole(self, prompt, **options):
        return "whole", prompt.messages[0].content


async def test_a_tool_call_is_asked_for_streamed_and_twice_whole():
    scenario = Feature("npu", "tools-auto")
    trial = FeatureTrial(scenario, Echo(), prompt_set("none", []), max_tokens=8, context=None)
    asked = [await trial.ask(each) for each in item_ids("tools-auto", prompt_set("none", []))]
    assert asked[:3] == [(form, "What is the weather in Paris?") for form in ("streamed", "whole", "whole")]
    assert len(asked) == 9


class Router(Counting):
    """A client whose ``/metrics`` is a router's: its count of running requests does not move."""

    def __init__(self, text):
        self._text = text

    async def metrics_text(self):
        return self._text

    def scrubbed(self, text):
        return text.replace("sk-secret", "***")


async def test_a_count_that_does_not_move_is_kept_in_the_servers_words(monkeypatch):
    monkeypatch.setattr(features, "ABORT_POLL_S", 0.0)
    text = "# TYPE x gauge\n" + "\n".join(
        f'vllm:num_requests_running{{server="http://10.0.0.{n}:8000",key="sk-secret"}} {n}' for n in (0, 1)
    )
    trial = FeatureTrial(
        Feature("npu", "abort"), Router(text), prompt_set("none", []), max_tokens=8, context=None
    )
    trace = await trial.ask("abort")
    assert (trace.before, trace.during) == (1, 1)
    assert trace.said == (
        'vllm:num_requests_running{server="http://10.0.0.0:8000",key="***"} 0; '
        'vllm:num_requests_running{server="http://10.0.0.1:8000",key="***"} 1'
    )


async def test_counters_of_another_name_are_named():
    text = 'vllm:router_requests_total{a="b"} 3\nvllm:current_qps 2.5\npython_info 1\nprocess_x 1\n'
    trial = FeatureTrial(
        Feature("npu", "abort"), Router(text), prompt_set("none", []), max_tokens=8, context=None
    )
    with pytest.raises(DialectError, match=r"vllm:router_requests_total, vllm:current_qps, python_info: a r"):
        await trial.ask("abort")
