"""Whole chat answers, as two vLLM generations write them."""

import re

import pytest
from wire_transcripts import VERSIONS, response_body

from pytest_gptoss.client.unary import unary_body, unary_generation
from pytest_gptoss.model.errors import DialectError


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["tools_auto", "tools_required", "tools_named"])
def test_a_recorded_tool_call(version, name):
    body = response_body(version, name)
    answer = unary_generation(body, prompt_id="p", max_tokens=64)
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [
        ("get_weather", '{"city": "Paris"}')
    ]
    assert answer.reasoning == "We need to call get_weather for Paris."
    assert answer.content == ""
    assert answer.completion_tokens == 33
    assert answer.token_ids[-1] == 200012


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_answer(version):
    answer = unary_generation(response_body(version, "chat_plain"), prompt_id="p", max_tokens=400)
    assert answer.content
    assert answer.reasoning
    assert answer.finish_reason == "stop"
    assert answer.token_ids is None


def test_a_body_that_streams_no_more():
    options = {"include_usage": True}
    streamed = {"messages": [], "stream": True, "stream_options": options, "temperature": 0}
    assert unary_body(streamed) == {"messages": [], "temperature": 0}


def saying(finish_reason="stop", completion_tokens=1, **message):
    usage = {"prompt_tokens": 1, "completion_tokens": completion_tokens}
    return {"choices": [{"message": message, "finish_reason": finish_reason}], "usage": usage}


def test_several_calls_stand_in_their_order():
    calls = [{"function": {"name": name, "arguments": "{}"}} for name in ("get", "put")]
    answer = unary_generation(saying("tool_calls", tool_calls=calls), prompt_id="p", max_tokens=9)
    assert [call.name for call in answer.tool_calls] == ["get", "put"]


@pytest.mark.parametrize(
    ("body", "said"),
    [(saying(completion_tokens=float("inf")), "counts is inf: expected int"),
     (saying(completion_tokens=-1), "usage counts -1 tokens"),
     (saying(completion_tokens="7"), "counts is '7': expected int"),
     (saying(completion_tokens=10**4000), "more than 40 digits"),
     (saying({"a": 1}), "finish_reason is {'a': 1}"),
     (saying(None), "without finish_reason or usage"),
     ({**saying(content="x"), "usage": None}, "without finish_reason or usage")],
)  # fmt: skip
def test_what_no_stream_may_say_no_whole_answer_may(body, said):
    with pytest.raises(DialectError, match=re.escape(said)):
        unary_generation(body, prompt_id="p", max_tokens=9)


def test_more_tokens_than_asked_for_are_refused():
    body = saying(completion_tokens=3)
    body["choices"][0]["token_ids"] = [5, 6, 7]
    with pytest.raises(DialectError, match="more tokens came than max_tokens 2 allows"):
        unary_generation(body, prompt_id="p", max_tokens=2)


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"choices": []}, {"choices": [{"message": {}}], "usage": {}},
     {"choices": [1], "usage": {}},
     {"choices": [{"message": {"content": 3}, "finish_reason": "stop"}],
      "usage": {"prompt_tokens": 1, "completion_tokens": 1}}],
)  # fmt: skip
def test_anything_else_is_no_answer(body):
    with pytest.raises(DialectError):
        unary_generation(body, prompt_id="p", max_tokens=64)
