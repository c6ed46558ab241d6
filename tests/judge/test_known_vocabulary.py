"""A server that is not GPT-OSS, or has another tokenizer, told by ids."""

import dataclasses

import pytest
from made import measurement

from pytest_gptoss.judge.metrics import preflight
from pytest_gptoss.judge.vocabulary import IDS_OF_TEXTS, TURN, unlike
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.scenarios.preflight import TEXT

RIGHT = IDS_OF_TEXTS[TEXT]
FACTS = ServerFacts("r", ("10.0.0.1:8000",), 0.0, ("m",), model="m", text=TEXT, text_ids=RIGHT)
PROMPT = (200006, 17360, 200008, 3575, 553, *TURN, 200006, 173781)
PLAIN_O200K = (27, 91, 5236, 91, 29, 1428, 27, 91, 1938, 91, 29, 976, 4853, 19705, 68347, 25, 61262, 11)
LLAMA = (128006, 882, 128007, 791, 4062, 14198, 39935, 25, 220, 122905, 11, 95980, 588, 11, 220, 25178, 17)


def facts(device="npu", **changes):
    return measurement(device, [dataclasses.replace(FACTS, **changes)])


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        ({}, 0),
        ({"text_ids": None, "greeting_ids": PROMPT}, 0),
        ({"text_ids": None, "greeting_ids": TURN}, 0),
        ({"text_ids": RIGHT, "greeting_ids": LLAMA}, 0),
        ({"text_ids": LLAMA}, 16),
        ({"text_ids": PLAIN_O200K}, 17),
        ({"text_ids": (199998, *RIGHT)}, 17),
        ({"text_ids": RIGHT[:-1]}, 1),
        ({"text_ids": (*RIGHT, 7)}, 1),
        ({"text_ids": ()}, 17),
        ({"text_ids": (*RIGHT[:5], 197792, *RIGHT[6:])}, 1),
        ({"text_ids": None, "greeting_ids": LLAMA}, 5),
        ({"text_ids": None, "greeting_ids": TURN[1:]}, 1),
        ({"text_ids": None, "greeting_ids": ()}, 5),
    ],
)
def test_how_many_tokens_are_not_those_of_gpt_oss(told, missing):
    estimate = preflight.tokenizer(npu=facts(**told))
    assert estimate.value == missing
    assert ("finding" in estimate.details) == bool(missing)


def test_the_finding_names_the_model_the_ids_and_the_options():
    found = preflight.tokenizer(npu=facts(text_ids=LLAMA, model="llama")).details["finding"]
    assert "npu serves llama, which is not GPT-OSS or has another tokenizer" in found
    assert "128006 at position 0 of a text where GPT-OSS's has 200006" in found
    assert "--npu-url or --gptoss-npu-model" in found


def test_a_server_that_tells_no_ids_is_not_judged():
    with pytest.raises(ConditionAbsent, match="its tokenizer is not checked"):
        preflight.tokenizer(npu=facts(text_ids=None))
    assert unlike(dataclasses.replace(FACTS, text="another version's text")) is None
    with pytest.raises(InsufficientData, match="two models"):
        preflight.tokenizer(npu=facts(model=None, problem="two models"))


@pytest.mark.parametrize("device", ["gpu", "cpu"])
def test_a_baseline_or_reference_of_another_vocabulary_is_no_baseline(device):
    servers = {"gpu": facts("gpu"), "cpu": facts("cpu")}
    assert preflight.baseline(**servers).value == 1
    servers[device] = facts(device, text_ids=LLAMA)
    found = preflight.baseline(**servers)
    assert found.value == 0
    assert f"{device} serves m, which is not GPT-OSS" in found.details["finding"]


def test_a_reference_that_does_not_answer_or_tells_nothing_spoils_no_baseline():
    silent = measurement("cpu", [], complete=False)
    assert preflight.baseline(gpu=facts("gpu", text_ids=None), cpu=silent).value == 1
