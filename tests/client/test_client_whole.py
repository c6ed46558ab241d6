"""Whole chat answers, as two vLLM generations write them."""

import pytest
from wire_transcripts import VERSIONS, response_body

from pytest_gptoss.client.whole import whole_body, whole_generation
from pytest_gptoss.errors import DialectError


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["tools_auto", "tools_required", "tools_named"])
def test_a_recorded_tool_call(version, name):
    body = response_body(version, name)
    answer = whole_generation(body, prompt_id="p")
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [
        ("get_weather", '{"city": "Paris"}')
    ]
    assert answer.reasoning == "We need to call get_weather for Paris."
    assert answer.content == ""
    assert answer.completion_tokens == 33
    assert answer.token_ids[-1] == 200012


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_answer(version):
    answer = whole_generation(response_body(version, "chat_plain"), prompt_id="p")
    assert answer.content
    assert answer.reasoning
    assert answer.finish_reason == "stop"
    assert answer.token_ids is None


def test_a_body_that_streams_no_more():
    options = {"include_usage": True}
    streamed = {"messages": [], "stream": True, "stream_options": options, "temperature": 0}
    assert whole_body(streamed) == {"messages": [], "temperature": 0}


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"choices": []}, {"choices": [{"message": {}}], "usage": {}},
     {"choices": [1], "usage": {}},
     {"choices": [{"message": {"content": 3}, "finish_reason": "stop"}],
      "usage": {"prompt_tokens": 1, "completion_tokens": 1}}],
)  # fmt: skip
def test_anything_else_is_no_answer(body):
    with pytest.raises(DialectError):
        whole_generation(body, prompt_id="p")
