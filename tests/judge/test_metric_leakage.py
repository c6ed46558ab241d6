"""Control tokens of o200k_harmony are found wherever a user would see them."""

import json

import pytest
from made import answer, failure, measurement

from pytest_gptoss.judge.metrics.leakage import leakage
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.results import ToolCall


def count(*answers, **fields):
    return leakage(npu=measurement("npu", answers, **fields))


@pytest.mark.parametrize(
    "token",
    ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>", "<|constrain|>",
     "<|startoftext|>", "<|endoftext|>", "<|endofprompt|>", "<|reserved_200013|>"],
)  # fmt: skip
def test_every_control_token_leaks(token):
    estimate = count(answer("p1", content=f"Paris{token}"), answer("p2", content="fine"))
    assert (estimate.value, estimate.unit, estimate.n, estimate.interval) == (1, "outputs", 2, None)
    assert estimate.details["leaks"][0]["token"] == token


@pytest.mark.parametrize(
    "text", ["<|", "a <|b|> c", "<start>", "|end|", "<|reserved_|>", "<|START|>", "x <| y |> z"]
)
def test_other_text_does_not(text):
    assert count(answer("p1", content=text)).value == 0


@pytest.mark.parametrize(
    ("leaking", "field"),
    [
        (answer("p1", content="a<|end|>"), "content"),
        (answer("p1", reasoning="a<|end|>"), "reasoning"),
        (answer("p1", tool_calls=(ToolCall("f<|end|>", "{}"),)), "tool_calls[0].name"),
        (
            answer("p1", tool_calls=(ToolCall("f", "{}"), ToolCall("g", "{}<|end|>"))),
            "tool_calls[1].arguments",
        ),
    ],
)
def test_every_field_is_searched(leaking, field):
    estimate = count(leaking)
    assert [leak["field"] for leak in estimate.details["leaks"]] == [field]
    assert estimate.details["finding"].startswith(
        f"1 of 1 outputs leak control tokens or channel words, first p1, {field}: "
    )


def test_an_output_counts_once_and_is_quoted():
    text = "x" * 100 + "<|channel|>" + "y" * 100
    estimate = count(answer("p1", content=text, reasoning=text))
    assert (estimate.value, len(estimate.details["leaks"])) == (1, 2)
    assert estimate.details["leaks"][0]["excerpt"] == "x" * 30 + "<|channel|>" + "y" * 30
    json.dumps(estimate.details, allow_nan=False)


def test_empty_answers_prove_nothing():
    with pytest.raises(InsufficientData, match="npu: every one of 2 answers is empty"):
        count(answer("p1"), answer("p2"))


def test_failed_prompts_are_refused():
    with pytest.raises(InsufficientData, match="1 of 2 prompts failed"):
        count(answer("p1", content="fine"), failures=(failure(),))
