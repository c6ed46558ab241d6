"""Harmony's messages are found in token ids, whole and broken off."""

import pytest

from pytest_gptoss.model.gptoss import CALL, CHANNEL, END, MESSAGE, RETURN, START
from pytest_gptoss.model.harmony import ends_in_header, harmony_messages
from pytest_gptoss.model.token_text import text_of, token_bytes

ANALYSIS, FINAL, ASSISTANT = 35644, 17196, 173781
THOUGHT = (CHANNEL, ANALYSIS, MESSAGE, 0, 0)
ANSWER = (START, ASSISTANT, CHANNEL, FINAL, MESSAGE, 0)


def found(ids):
    return [(each.channel, each.recipient, each.text) for each in harmony_messages(ids)]


def test_channels_and_bodies():
    assert found((*THOUGHT, END, *ANSWER, RETURN)) == [("analysis", None, "!!"), ("final", None, "!")]


@pytest.mark.parametrize("end", [(), (END,), (RETURN,), (END, START), (END, START, ASSISTANT, CHANNEL)])
def test_an_answer_may_break_off_anywhere(end):
    assert found((*THOUGHT, *end)) == [("analysis", None, "!!")]
    assert ends_in_header((*THOUGHT, *end)) == (START in end)


def test_a_message_that_is_not_ended_ends_where_the_next_begins():
    assert found((*THOUGHT, *ANSWER)) == [("analysis", None, "!!"), ("final", None, "!")]


def test_a_call_has_a_recipient():
    # <|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>!<|call|>, as vLLM records it
    header = (200005, 12606, 815, 316, 28, 44580, 775, 170154, 220, 200003, 4108)
    (call,) = harmony_messages((*header, MESSAGE, 0, CALL))
    assert (call.channel, call.recipient, call.visible) == ("commentary", "functions.get_weather", False)


@pytest.mark.parametrize("ids", [(), (0, 0, 0), (CHANNEL, ANALYSIS), (START,)])
def test_what_has_no_message_is_not_in_harmonys_form(ids):
    assert harmony_messages(ids) == ()


def test_characters_may_be_spread_over_tokens():
    # The bytes e2 82 ac are one character and three tokens.
    euro = [next(each for each in range(256) if token_bytes(each)[0] == byte) for byte in "€".encode()]
    assert text_of(euro) == "€"
    assert text_of(euro[:2]) == "\ufffd"
