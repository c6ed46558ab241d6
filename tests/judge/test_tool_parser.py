"""A server without a tool parser is told its flags; one with a parser that errs is judged."""

import dataclasses
import json

import pytest
from made import answer, failure, measurement

from pytest_gptoss.judge.metrics.tools import tools
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.results import ToolCall
from pytest_gptoss.scenarios.features import TOOL_SCHEMAS

CITIES = ("Paris", "Tokyo")
FORMS = ("streamed", "whole", "whole again")
CALL = (200005, 12606, 815, 200008, 5, 200012)
PROSE = (200005, 17196, 200008, 5, 200002)
FLAGS = "--enable-auto-tool-choice --tool-call-parser openai"


def called(city, ids=CALL):
    call = ToolCall("get_weather", json.dumps({"city": city}))
    return dataclasses.replace(answer("", ids, tool_calls=(call,)), finish_reason="tool_calls")


def unparsed(city, ids=CALL, content=None):
    return answer("", ids, content=json.dumps({"city": city}) if content is None else content)


def judged(choice="auto", version="0.18.1", *, failures=(), **forms):
    """Answers by form, each a function of the city."""
    forms.setdefault("whole_again", forms["whole"])
    items = [
        dataclasses.replace(forms[form.replace(" ", "_")](city), prompt_id=f"{city}-{form}")
        for city in CITIES
        for form in FORMS
    ]
    provenance = {"schemas": TOOL_SCHEMAS, "server_version": version}
    return tools(npu=measurement("npu", items, provenance=provenance, failures=failures), choice=choice)


@pytest.mark.parametrize("choice", ["auto", "required", "named"])
@pytest.mark.parametrize("version", ["0.18.1", "0.18.0rc1", None, "some fork 7"])
def test_calls_in_streamed_answers_alone_mean_no_parser(choice, version):
    with pytest.raises(InsufficientData, match=f"whole ones leave it out.*add {FLAGS}"):
        judged(choice, version, streamed=called, whole=unparsed)


@pytest.mark.parametrize("content", ["", None])
def test_so_does_a_server_that_withholds_ids(content):
    def bare(city):
        return unparsed(city, None, content)

    with pytest.raises(InsufficientData, match=f"whole ones leave it out.*add {FLAGS}"):
        judged(streamed=lambda city: called(city, None), whole=bare)
    with pytest.raises(InsufficientData, match=f"takes no call out of it: add {FLAGS}"):
        judged(version="0.32.0", streamed=bare, whole=bare)


def test_one_question_answered_in_prose_hides_nothing():
    def chatty(city):
        return answer("", PROSE, content="It is warm.") if city == "Paris" else unparsed(city, content="")

    with pytest.raises(InsufficientData, match=f"takes no call out of it: add {FLAGS}"):
        judged(version="0.32.0", streamed=chatty, whole=chatty)


def test_a_parser_that_loses_calls_fails():
    def first_only(city):
        return called(city) if city == "Paris" else unparsed(city)

    assert judged(streamed=called, whole=first_only).value == 0.5
    # From 0.32 on nothing is streamed without a parser, so there is one.
    assert judged(version="0.32.0", streamed=called, whole=unparsed).value == 0
    assert judged(version="0.32.0", streamed=unparsed, whole=called).value == 0


def test_a_model_that_does_not_call_fails():
    def chatty(city):
        return answer("", PROSE, content="It is warm.")

    for version in ("0.18.1", "0.32.0", None):
        estimate = judged(version=version, streamed=chatty, whole=chatty)
        assert estimate.value == 0
        assert "0 calls instead of one" in estimate.details["finding"]


@pytest.mark.parametrize("choice", ["required", "named"])
def test_0_18_says_that_it_does_not_enforce(choice):
    words = f"vLLM 0.18.1 does not enforce tool_choice {choice}"
    green = judged(choice, streamed=called, whole=called)
    assert green.value == 1
    assert words in green.details["note"]
    red = judged(choice, streamed=lambda city: answer("", PROSE, content="Warm."), whole=called)
    assert words in red.details["finding"]
    for sound in (judged("auto", streamed=called, whole=called),
                  judged(choice, "0.32.0", streamed=called, whole=called),
                  judged(choice, "0.180.0", streamed=called, whole=called),
                  judged(choice, "pytest-gptoss 0.18 reference", streamed=called, whole=called)):  # fmt: skip
        assert "note" not in sound.details


def test_a_refusal_in_words_names_the_flags():
    message = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    with pytest.raises(InsufficientData, match=f"without a tool parser: add {FLAGS}"):
        judged(streamed=called, whole=called, failures=(failure("Paris-streamed", "status", message),))
