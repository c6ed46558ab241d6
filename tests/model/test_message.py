"""Messages: English texts that remember their templates, in memory and in documents."""

import copy
import json
import pickle

import numpy as np
import pytest

from pytest_gptoss.model.message import (
    Message,
    both,
    either,
    joined,
    listed,
    revived,
    say,
    stored_messages,
    with_messages,
)
from pytest_gptoss.model.printable import printable


def test_a_message_is_its_english_text():
    told = say("{n} of {all:,} tokens, {share:.1%}", n=5, all=20_000, share=np.float32(0.25))
    assert told == "5 of 20,000 tokens, 25.0%"
    assert (told.template, told.values["n"]) == ("{n} of {all:,} tokens, {share:.1%}", 5)
    assert type(told.english) is str
    assert {type(each) for each in told.values.values()} == {int, float}


def test_a_message_without_values_is_its_template():
    assert say("give it '{\"a\": 1}'") == "give it '{\"a\": 1}'"


def test_errors_keep_their_message():
    told = say("{n} tokens", n=5)
    assert str(ValueError(told)) is told
    assert str(told) is told


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda told: pickle.loads(pickle.dumps(told))])
def test_copies_are_messages(copied):
    told = copied(say("{n} tokens of {part}", n=5, part=say("the end")))
    assert told == "5 tokens of the end"
    assert isinstance(told, Message)
    assert isinstance(told.values["part"], Message)


def test_sentences_are_joined():
    one, other = say("{n} tokens", n=5), "what a server said"
    assert joined([]) == ""
    assert joined([one]) is one
    assert joined([one, other]) == "5 tokens; what a server said"
    assert listed([one, other]) == "5 tokens, what a server said"
    assert both([listed([one, other]), "b"]) == "5 tokens, what a server said and b"
    assert either(["a", "b"]) == "a or b"
    assert (listed([]), listed([one]), both([one]), either([])) == ("", one, one, "")


def test_what_does_not_show_is_escaped_in_the_values():
    told = printable(say("it said {said}, {all}", said="a\x1b", all=joined(["\u202e", say("{n}", n="\n")])))
    assert told == "it said a\\x1b, \\u202e; \\n"
    assert isinstance(told, Message)


def test_a_document_brings_its_messages_along():
    told = say("{n} of {parts}", n=5, parts=joined([say("a {word!r}", word="it's"), "b"]))
    document = {"rows": [{"reason": told, "ids": [1, 2]}, {"reason": "said"}]}
    stored = json.loads(json.dumps(with_messages(document)))
    assert stored["rows"] == document["rows"]
    found = revived(stored)
    assert found == document
    again = found["rows"][0]["reason"]
    assert again.values["parts"].values["sentences"][0].template == "a {word!r}"
    assert with_messages({"rows": []}) == {"rows": []}


@pytest.mark.parametrize(
    "form",
    [
        None,
        [],
        {"template": "another text", "values": {}},
        {"template": "{a}", "values": {}},
        {"template": "{a.__class__}", "values": {"a": "text"}},
        {"template": "{a:>99999999}", "values": {"a": "text"}},
        {"template": "{a}" * 10**6, "values": {"a": "b" * 10**6}},
        {"template": "{a:d}", "values": {"a": "text"}},
        {"template": 5, "values": {"a": "text"}},
    ],
)
def test_a_table_that_says_something_else_is_not_believed(form):
    assert stored_messages({"messages": {"text": form}}) == {}
    assert stored_messages({"messages": [form]}) == {}


def test_the_table_is_bounded():
    rows = [say("{n} tokens", n=n) for n in range(5_000)]
    assert len(with_messages({"rows": rows})["messages"]) == 2_000
