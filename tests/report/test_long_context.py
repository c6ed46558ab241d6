"""The growth of the first token's wait counts what was prefilled, and nothing else."""

import pytest

from pytest_gptoss.report.formats.long_context import first_token_growth


def cell(length, wait_ms, **fields):
    return {
        "device": "npu", "length": length, "prompt_tokens": length, "first_token_ms": wait_ms,
        "cached_tokens": 0, "outcome": "hit", **fields,
    }  # fmt: skip


def test_growth_goes_from_length_to_length():
    (step,) = first_token_growth([cell(1024, 10.0), cell(4096, 50.0, outcome="miss")])
    assert (step["from"], step["to"]) == (1024, 4096)
    assert (step["prompt_tokens"], step["first_token_ms"]) == (4.0, 5.0)


@pytest.mark.parametrize(
    "no_prefill",
    [
        cell(4096, 10.0, prompt_tokens=512, outcome="truncated"),
        cell(4096, 10.0, cached_tokens=2048),
        cell(4096, None, outcome="timeout"),
    ],
)
def test_what_was_not_prefilled_is_left_out(no_prefill):
    assert first_token_growth([cell(1024, 10.0), no_prefill]) == []
