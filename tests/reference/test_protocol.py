"""What a request may hold: every bad value is a 400 that names it, an unknown field is nothing."""

import asyncio
import json

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_engine import Script, ScriptedEngine

from pytest_gptoss.reference.pooling import _as_bfloat16
from pytest_gptoss.reference.server import create_app
from pytest_gptoss.reference.service import Service

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
ANSWER = [200005, 17196, 200008, 17, 200002]


def post(path, content, engine=None):
    """Send a body to a fresh application and return its answer."""
    engine = engine or ScriptedEngine([Script(ANSWER)], states=lambda ids: np.ones((len(ids), 4), np.float32))
    app = create_app(Service(engine, model="gpt-oss-20b", root="tiny", dtype="float32"))

    async def send():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            headers = {"Content-Type": "application/json"}
            return await client.post(path, content=content, headers=headers)

    return asyncio.run(send())


def ask(path, body, engine=None):
    return post(path, json.dumps(body), engine)


def error_of(response):
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize("path", [CHAT, TEXT])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", "hot"),
        ("temperature", [1]),
        ("top_p", 0),
        ("top_p", 1.5),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("max_tokens", {}),
        ("min_tokens", -1),
        ("min_tokens", 9999),
        ("n", 0),
        ("n", 1000),
        ("seed", 2**63),
        ("stop_token_ids", [-1]),
        ("stop_token_ids", 13),
        ("allowed_token_ids", []),
        ("allowed_token_ids", [201088]),
        ("allowed_token_ids", 13),
        ("prompt_logprobs", 21),
        ("prompt_logprobs", -2),
        ("cache_salt", ""),
        ("cache_salt", 5),
        ("stream", "perhaps"),
        ("stream_options", {"include_usage": True}),
        ("model", 7),
        ("top_k", 5),
        ("logit_bias", {"13": 100}),
        ("repetition_penalty", 1.1),
        ("response_format", {"type": "json_object"}),
    ],
)
def test_a_bad_value_names_its_field(path, field, value):
    body = {**HELLO, "prompt": "x", field: value}
    error = error_of(ask(path, body))
    assert field in (error["param"] or error["message"])


@pytest.mark.parametrize(
    ("path", "extra", "part"),
    [
        (CHAT, {"max_completion_tokens": 0}, "max_tokens must be at least 1"),
        (CHAT, {"top_logprobs": 3}, "`logprobs` must be set to true"),
        (CHAT, {"logprobs": True, "top_logprobs": 21}, "greater than max allowed: 20"),
        (CHAT, {"tool_choice": "required"}, "`tools` must be set"),
        (CHAT, {"tool_choice": "perhaps", "tools": [TOOL]}, "Invalid value for `tool_choice`"),
        (
            CHAT,
            {"tool_choice": {"type": "function", "function": {"name": "g"}}, "tools": [TOOL]},
            "does not match any of the specified",
        ),
        (
            CHAT,
            {
                "tool_choice": "required",
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {"$ref": "x"}}}],
            },
            "cannot force a call with keyword '$ref'",
        ),
        (CHAT, {"tool_choice": "auto"}, "`tools` must be set"),
        (CHAT, {"tools": [{"type": "function"}]}, "body.tools.0.function"),
        (CHAT, {"tools": [{"type": "function", "function": {}}]}, "function.name"),
        (CHAT, {"reasoning_effort": "minimal"}, "not supported by Harmony"),
        (CHAT, {"messages": "Hello"}, "body.messages"),
        (CHAT, {"stop": ["a", ""]}, "empty string"),
        (CHAT, {"stop": [1]}, "body.stop.0"),
        (CHAT, {"n": 2, "temperature": 0}, "greedy"),
        (TEXT, {"logprobs": 21}, "greater than max allowed: 20"),
        (TEXT, {"prompt": [[]]}, "cannot be empty"),
        (TEXT, {"prompt": [1.5]}, "body.prompt.0"),
        (TEXT, {"truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
        (TEXT, {"prompt": [[1, 2], [201088]]}, "Token id 201088 is out of vocabulary"),
        ("/pooling", {"input": [1], "encoding_format": "hex"}, "encoding_format"),
        ("/pooling", {"input": [1], "embed_dtype": "int4"}, "embed_dtype"),
        ("/tokenize", {}, "body.prompt"),
        ("/detokenize", {"tokens": [201088]}, "out of vocabulary"),
    ],
)
def test_requests_that_make_no_sense(path, extra, part):
    base = HELLO if path == CHAT else {"prompt": "x"} if path == TEXT else {}
    assert part in error_of(ask(path, {**base, **extra}))["message"]


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"7", b"{", b"\xff", b"[" * 100_000, b'{"n": ' + b"1" * 5000 + b"}"]
)
def test_a_body_that_is_no_object(raw):
    assert error_of(post(CHAT, raw))["type"] == "Bad Request"


@pytest.mark.parametrize(
    "extra",
    [
        {"no_such_field": {"x": 1}},
        {"temperature": None, "n": None, "stop": None, "tools": None},
        {"temperature": "0.5", "max_tokens": "3", "stream": "false", "max_completion_tokens": 4.0},
        {"top_k": -1, "presence_penalty": 0, "repetition_penalty": 1.0, "response_format": {"type": "text"}},
    ],
)
def test_what_is_accepted(extra):
    assert ask(CHAT, {**HELLO, **extra}).status_code == 200


def test_max_tokens_fits_into_the_context():
    engine = ScriptedEngine([Script(ANSWER)], max_model_len=20)
    assert ask(TEXT, {"prompt": [976] * 15, "max_tokens": 1000}, engine).status_code == 200
    assert engine.streams[0].request.max_tokens == 5
    assert "exceeds" in error_of(ask(TEXT, {"prompt": [976] * 21}, engine))["message"]
    assert "got 0" in error_of(ask(TEXT, {"prompt": [976] * 20}, engine))["message"]


def test_a_chat_may_fill_the_context_unless_told_otherwise():
    engine = ScriptedEngine([Script(ANSWER)])
    ask(CHAT, HELLO, engine)
    ask(CHAT, {**HELLO, "max_tokens": 9}, engine)
    ask(CHAT, {**HELLO, "max_tokens": 9, "max_completion_tokens": 4}, engine)
    first, second, third = (stream.request for stream in engine.streams)
    assert first.max_tokens == engine.max_model_len - len(first.prompt)
    assert (second.max_tokens, third.max_tokens) == (9, 4)


def test_choices_have_seeds_of_their_own():
    engine = ScriptedEngine([Script(ANSWER)])
    body = ask(TEXT, {"prompt": ["a", "b"], "n": 2, "seed": 5}, engine).json()
    assert [stream.request.seed for stream in engine.streams] == [5, 6, 5, 6]
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
FIELDS = st.sampled_from(
    [
        *("messages", "tools", "tool_choice", "reasoning_effort", "response_format", "request_id", "model"),
        *("stream", "stream_options", "logprobs", "top_logprobs", "prompt_logprobs", "stop", "n", "seed"),
        *("stop_token_ids", "max_tokens", "min_tokens", "cache_salt", "top_p", "temperature", "top_k"),
        *("prompt", "echo", "truncate_prompt_tokens", "input", "task", "encoding_format", "embed_dtype"),
        *("endianness", "tokens"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    path=st.sampled_from([CHAT, TEXT, "/pooling", "/tokenize", "/detokenize"]),
    extra=st.dictionaries(FIELDS, JSON, max_size=3),
)
def test_no_value_is_a_failure_of_the_server(path, extra):
    assert ask(path, {**HELLO, "prompt": "x", "input": "x", **extra}).status_code in {200, 400, 404}


MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool"])},
        optional={
            "content": JSON,
            "tool_calls": st.lists(st.fixed_dictionaries({"id": JSON, "function": JSON}), max_size=2),
            "tool_call_id": JSON,
            "reasoning": JSON,
        },
    ),
    max_size=3,
)


@settings(max_examples=200, deadline=None)
@given(messages=MESSAGES)
def test_no_message_is_a_failure_of_the_server(messages):
    assert ask(CHAT, {"messages": messages}).status_code in {200, 400}


# -- pooling --------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_bfloat16_is_rounded_as_torch_does(numbers):
    torch = pytest.importorskip("torch")
    rows = np.array(numbers, dtype=np.float32)
    expected = torch.from_numpy(rows).bfloat16().view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(_as_bfloat16(rows), expected)
