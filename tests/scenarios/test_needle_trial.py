"""What a trial's failure is called, and how much of its room an answer has used."""

import pytest

from pytest_gptoss.client.stream_event import read_event
from pytest_gptoss.model.errors import (
    ConnectError,
    MiscountError,
    RequestTimeout,
    StatusError,
    StreamError,
)
from pytest_gptoss.model.results import Generation
from pytest_gptoss.scenarios.needle_trial import final_tokens, trouble_of

HARMONY_BROKE = '{"error": {"message": "Unexpected token 19 while expecting start token 200006"}}'
ENGINE_DIED = '{"error": {"message": "EngineCore encountered an issue."}}'


def stream_error(event):
    with pytest.raises(StreamError) as caught:
        read_event(event)
    return caught.value


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (RequestTimeout("late"), "timeout"),
        (StatusError("a gateway gave up", status=504), "timeout"),
        (StatusError("too long", status=400, cause="context"), "rejected"),
        (StatusError("no such field", status=400), None),
        (StatusError("body too large for the proxy", status=413), None),
        (StatusError("NPU out of memory", status=500, cause="died"), "out_of_memory"),
        (StatusError("NaN in the logits", status=500), None),
        (StatusError("nobody behind the proxy", status=502), "out_of_memory"),
        (ConnectError("refused"), "out_of_memory"),
        (StreamError("broken off", cause="died"), "out_of_memory"),
        (StreamError("ended without usage"), None),
        (stream_error(HARMONY_BROKE), None),
        (stream_error(ENGINE_DIED), "out_of_memory"),
    ],
)
def test_troubles_are_told_apart(error, trouble):
    assert trouble_of(error, by_usage=False) == trouble


def test_a_miscount_is_a_cut_prompt_only_where_prompts_are_counted_as_they_arrived():
    error = MiscountError("512 tokens were counted in a text made for 2048")
    assert trouble_of(error, by_usage=True) == "truncated"
    assert trouble_of(error, by_usage=False) is None


def answer(content, ids):
    return Generation("p", (), ids, "", content, (), "length", 1, len(ids or ()))


def test_the_final_channel_is_counted_in_tokens_where_ids_are_told():
    preamble = "x" * 300
    assert (
        final_tokens(answer(preamble, (200005, 35644, 200008, 7, 200007, 200005, 17196, 200008, 1, 2))) == 2
    )
    assert final_tokens(answer(preamble, None)) == 300
    assert final_tokens(answer("", (200005, 35644, 200008, 7, 7))) == 0


def test_the_final_channel_is_counted_where_the_parser_loses_its_text():
    ids = (200005, 35644, 200008, 7, 200007, 200006, 173781, 200005, 17196, 200008, 1, 2, 3)
    assert final_tokens(answer("", ids)) == 3
    assert final_tokens(answer("", None)) == 0
