"""The text that servers are asked to tokenize is the one whose ids are known."""

from pytest_gptoss.judge.vocabulary import IDS_OF_TEXTS, TURN
from pytest_gptoss.scenarios.preflight import TEXT


def test_the_ids_are_those_of_the_o200k_harmony_vocabulary(harmony):
    assert list(IDS_OF_TEXTS) == [TEXT]
    assert tuple(harmony.encode(TEXT, allowed_special="all")) == IDS_OF_TEXTS[TEXT]
    assert tuple(harmony.encode("<|start|>user<|message|>Hi<|end|>", allowed_special="all")) == TURN
