"""Faults that alter what a whole answer says do what they are called after, and nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from detection import wire
from detection.proxy import Exchange

from pytest_gptoss.client.generation import StreamedGeneration
from pytest_gptoss.judge.answer_text import answer_text
from pytest_gptoss.judge.garbage import garbage_of
from pytest_gptoss.model.results import Generation, NeedleAnswer

RECORDED = Path(__file__).parents[1] / "wire"
PLAIN = "chat_stream_logprobs_token_ids"
CALL = "tools_stream_auto"


def altered(change: wire.Change, name: str, *, version: str = "0.32.0", max_tokens: int = 64) -> Generation:
    """The recorded stream as the client reads it behind a fault."""

    async def events() -> AsyncIterator[bytes]:
        for event in (RECORDED / version / f"{name}.sse").read_bytes().split(b"\n\n"):
            if event:
                yield event + b"\n\n"

    async def read() -> Generation:
        answer = StreamedGeneration(max_tokens)
        async for event in change(events()):
            text = event.decode().strip().removeprefix("data: ")
            if text != "[DONE]":
                answer.take(text)
        return answer.finished(prompt_id="p", top=None, done=True)

    return asyncio.run(read())


def unchanged(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    return events


@pytest.mark.parametrize("version", ["0.18.1", "0.32.0"])
def test_lost_content_leaves_ids_and_reasoning(version: str) -> None:
    plain = altered(unchanged, PLAIN, version=version)
    lost = altered(wire._without_content, PLAIN, version=version)
    assert plain.content
    assert lost.content == ""
    assert (lost.token_ids, lost.reasoning) == (plain.token_ids, plain.reasoning)
    assert answer_text(plain).departure is None
    assert "content is empty" in (answer_text(lost).departure or "")


@pytest.mark.parametrize("version", ["0.18.1", "0.32.0"])
def test_a_calls_arguments_stand_in_the_content(version: str) -> None:
    plain = altered(unchanged, CALL, version=version)
    said_twice = altered(wire._call_in_content, CALL, version=version)
    assert plain.content == ""
    assert said_twice.tool_calls == plain.tool_calls
    assert said_twice.content == plain.tool_calls[0].arguments


def test_garbage_fills_the_room_without_a_text() -> None:
    garbage = altered(partial(wire._exclaiming, tokens=64), PLAIN)
    assert garbage.token_ids == (wire.EXCLAMATION_MARK,) * 64
    assert (garbage.text, garbage.finish_reason) == ("", "length")
    assert garbage.prompt_tokens == altered(unchanged, PLAIN).prompt_tokens
    needle = NeedleAnswer(0, "7842", 1, 0.5, finish_reason="length", token_ids=garbage.token_ids)
    assert "repeat '!'" in (garbage_of(needle) or "")


@pytest.mark.parametrize("body", [b'{"messages": [', b"\xff", b"Infinity-"])
def test_a_bad_request_of_the_suite_is_passed_on_as_it_is(body):
    exchange = Exchange("POST /v1/chat/completions HTTP/1.1", [], body, upstream=None, writer=None)
    assert exchange.json == {}
    assert exchange.body == body
