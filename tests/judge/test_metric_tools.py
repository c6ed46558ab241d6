"""Tool calls judged from answers written down by hand."""

import dataclasses

import pytest
from made import answer, failure, measurement

from pytest_gptoss.judge.metrics.tools import tools
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.results import ToolCall

SCHEMAS = {
    "get_weather": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
}


def call(form, city="Paris", *, name="get_weather", arguments=None, finish="tool_calls", calls=1):
    made = ToolCall(name, arguments if arguments is not None else f'{{"city": "{city}"}}')
    return dataclasses.replace(
        answer(f"Paris-{form}", content="", tool_calls=(made,) * calls), finish_reason=finish
    )


def calls(*items, again=None, **fields):
    """The calls of one question; whole once more it is answered as before, unless told otherwise."""
    whole = next((each for each in items if each.prompt_id.endswith("-whole")), None)
    if whole is not None:
        items = (*items, dataclasses.replace(again or whole, prompt_id=f"{whole.prompt_id} again"))
    return measurement("npu", items, provenance={"schemas": SCHEMAS}, **fields)


def test_the_same_right_call_both_ways():
    spaced = call("whole", arguments='{ "city":"Paris" }')
    assert tools(npu=calls(call("streamed"), spaced), choice="auto").value == 1


@pytest.mark.parametrize(
    ("streamed", "whole", "words"),
    [
        ({"calls": 0}, {}, "0 calls instead of one"),
        ({}, {"calls": 2}, "2 calls instead of one"),
        ({"name": "get_wether"}, {}, "'get_wether'"),
        ({"arguments": '{"city": "Par'}, {}, "no JSON"),
        ({"arguments": '{"town": "Paris"}'}, {}, "lack 'city'"),
        ({"arguments": '{"city": 7}'}, {}, "is no string"),
        ({}, {"city": "Paris, France"}, "streamed it calls"),
        ({"city": ""}, {"city": ""}, "asked for Paris, it calls with"),
        ({"city": "Rome"}, {"city": "Rome"}, "asked for Paris, it calls with"),
        ({"finish": "stop"}, {}, "finish_reason is 'stop'"),
    ],
)
def test_a_wrong_call_is_named(streamed, whole, words):
    estimate = tools(npu=calls(call("streamed", **streamed), call("whole", **whole)), choice="required")
    assert estimate.value == 0
    assert words in estimate.details["finding"]


def test_a_call_that_is_not_repeated_is_no_evidence():
    chance = calls(call("streamed", city="Paris, France"), call("whole"), again=call("whole", calls=0))
    with pytest.raises(InsufficientData, match="calls no tool twice alike"):
        tools(npu=chance, choice="auto")
    # Wrong each time it is asked is wrong, however it varies.
    wrong = calls(call("streamed"), call("whole", calls=0), again=call("whole", city="Rome"))
    assert tools(npu=wrong, choice="auto").value == 0


def test_a_named_call_may_end_with_stop():
    both = [call("streamed", finish="stop"), call("whole", finish="stop")]
    assert tools(npu=calls(*both), choice="named").value == 1


def test_a_server_without_parser_is_told_its_flags():
    message = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    with pytest.raises(InsufficientData, match="add --enable-auto-tool-choice --tool-call-parser openai"):
        tools(npu=calls(failures=(failure("Paris-streamed", "status", message),)), choice="auto")


def test_a_call_that_stands_in_the_tokens_alone_is_an_unparsed_one():
    # As vLLM 0.32 answers without a parser: no tool_calls, finish_reason stop, the ids end in the call token.
    unparsed = [answer(f"Paris-{form}", (5, 200012)) for form in ("streamed", "whole")]
    with pytest.raises(InsufficientData, match="takes no call out of it: add --enable-auto-tool"):
        tools(npu=calls(*unparsed), choice="auto")
    assert tools(npu=calls(unparsed[0], call("whole")), choice="auto").value == 0
