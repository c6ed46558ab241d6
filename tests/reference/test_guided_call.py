"""A call that must come, comes: in harmony's form, to an allowed function, with arguments of its schema."""

import json
import random
from itertools import chain

import pytest

from pytest_gptoss.model.gptoss import CALL, CHANNEL, END, MESSAGE, START
from pytest_gptoss.reference.answer import Answer
from pytest_gptoss.reference.guided_call import GuidedCall
from pytest_gptoss.reference.tokens import encode

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
DAYS = {"type": "object", "properties": {"days": {"enum": [1, 2, 12]}}, "required": ["days"]}
SPECIAL = [CHANNEL, MESSAGE, START, END, CALL, 200003, 200002]


def spoken(guide, likely, limit=200):
    said = []
    while (not said or said[-1] != CALL) and len(said) < limit:
        said.append(guide.choose(said, likely(said)))
    return said


def parsed(said):
    answer = Answer(with_tools=True)
    for place, token in enumerate(said):
        answer.add(token, last=place == len(said) - 1)
    return answer


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_model_likes_a_whole_call_comes_out(seed):
    order = random.Random(seed)

    def likely(said):
        first = [*SPECIAL, *range(1000)]
        order.shuffle(first)
        # A model that likes to come to an end: a text that is free would else go on.
        ends = [END, *encode('"}'), *encode('"')] if len(said) > 12 else []
        return chain(ends, first, range(200_000))

    said = spoken(GuidedCall({"get_weather": CITY, "get_date": DAYS}), likely)
    (call,) = parsed(said).calls
    arguments = json.loads(call.text)
    assert set(arguments) == ({"city"} if call.name == "get_weather" else {"days"})
    assert said[-1] == CALL


def test_the_models_own_right_call_is_left_alone():
    own = [
        CHANNEL, *encode("analysis"), MESSAGE, *encode("Look it up."), END, START, *encode("assistant"),
        CHANNEL, *encode("commentary to=functions.get_weather "), 200003, *encode("json"), MESSAGE,
        *encode('{"city":"Rome"}'), CALL,
    ]  # fmt: skip
    assert spoken(GuidedCall({"get_weather": CITY}), lambda said: own[len(said) :][:1]) == own


def test_a_model_that_would_rather_answer_must_call():
    answer = [CHANNEL, *encode("final"), MESSAGE, *encode("Rome is warm."), 200002]

    def likely(said):
        return chain(answer[len(said) :][:1], [END], encode('"}'), SPECIAL, range(200_000))

    (call,) = parsed(spoken(GuidedCall({"get_weather": CITY}), likely)).calls
    assert call.name == "get_weather"


def test_no_control_token_ends_the_thought_but_its_own_end():
    guide = GuidedCall({"get_weather": CITY})
    thinking = [CHANNEL, *encode("analysis"), MESSAGE, *encode("We")]
    assert guide.choose(thinking, [CALL, START, 200002, END]) == END
