"""A row that lacks a capability quotes what the probe was told; advice stands where nothing was noted."""

import dataclasses

import numpy as np
import pytest
from made import answer, measurement, scored
from made_load import level, steady, trial

from pytest_gptoss.judge.metrics import (
    abort_frees,
    finish_reasons,
    inputs,
    performance,
    prefill,
    preflight_date,
    tokens,
)
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.results import AbortTrace
from pytest_gptoss.model.subjects import ServerFacts

REFUSAL = "POST http://npu:8000/v1/chat/completions answered 400 Bad Request (top_logprobs is not for you)"


def told(name, items, device="npu", **notes):
    return measurement(device, items, provenance={"lacks": notes} if notes else {})


def decode_prefill(**notes):
    ids = (1, 2, 3)
    forced = measurement("npu", [scored("p", np.zeros(3), token_ids=(7, 7, 7, *ids))])
    return prefill.decode_prefill(generated=told("p", [answer("p", ids)], **notes), forced=forced)


def match(**notes):
    return tokens.token_match_rate(npu=told("p", [answer("p", None)], **notes), gpu=told("p", [answer("p")]))


def identical(**notes):
    npu = told("p", [answer("p", prompt=None)], **notes)
    return inputs.identical(npu=npu, gpu=told("p", [answer("p")]))


def endings(**notes):
    cut = measurement("npu", [dataclasses.replace(answer("a", (1,)), finish_reason="length")])
    return finish_reasons.finish_reasons(finished=told("a", [answer("a", None)], **notes), cut=cut)


def uncached(**notes):
    made = trial(level(*steady(2, ttft=5, tpot=1)), provenance={"lacks": notes} if notes else {})
    return performance.uncached(trial_0=made)


@pytest.mark.parametrize(
    ("row", "capability_name", "advice"),
    [
        (decode_prefill, "logprobs", "--max-logprobs above 0"),
        (match, "token_ids", "serve with a vLLM that knows return_token_ids"),
        (identical, "token_ids", "serve with a vLLM that knows return_token_ids"),
        (endings, "token_ids", "serve with a vLLM that knows return_token_ids"),
        (uncached, "metrics", "/metrics is needed"),
    ],
)
def test_the_probes_words_stand_in_the_place_of_advice(row, capability_name, advice):
    with pytest.raises(InsufficientData) as quoted:
        row(**{capability_name: REFUSAL})
    assert f"when probed: {REFUSAL}" in str(quoted.value)
    assert advice not in str(quoted.value)
    for notes in ({}, {"pooling": REFUSAL}):
        with pytest.raises(InsufficientData) as general:
            row(**notes)
        assert advice in str(general.value)
        assert REFUSAL not in str(general.value)


def test_an_unseen_date_says_why():
    seen = ServerFacts("r", (), 0.0, ("m",), model="m", harmony_date="2026-01-01")
    blind = dataclasses.replace(seen, harmony_date=None, date_trouble="POST /detokenize answered 404")
    with pytest.raises(ConditionAbsent, match=r"npu does not show .* \(POST /detokenize answered 404\)"):
        preflight_date.harmony_date(npu=measurement("npu", [blind]), gpu=measurement("gpu", [seen]))


def test_a_count_that_does_not_rise_is_quoted():
    said = 'vllm:num_requests_running{server="http://10.0.0.5:8000"} 0'
    trace = AbortTrace(0, 0, ((0.1, 0),), 30.0, said=said)
    with pytest.raises(InsufficientData) as error:
        abort_frees.abort_frees(npu=measurement("npu", [trace]))
    assert f"/metrics said meanwhile: {said}" in str(error.value)
    assert "does a router or another server answer there" in str(error.value)
