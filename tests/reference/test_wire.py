"""Every answer, field by field, against what vLLM 0.32.0 answered to the same request.

The engine is scripted with the recorded tokens, so that whole bodies must be equal, apart from ids, times
and what names the server.
"""

import base64
import json
import re

import httpx
import numpy as np
import pytest
import recorded
from scripted_engine import ScriptedEngine

from pytest_gptoss.reference.server import create_app
from pytest_gptoss.reference.service import Service

NOT_SERVED = {
    "chat_render": "vLLM refuses unless it is started with --enable-scale-out",
    "chat_render_tools": "as chat_render",
    "completions_render": "as chat_render",
    "completions_render_with_enable_scale_out": "no renderer for text completions here",
    "chat_on_pooling_server": "one server here does both",
    "completion_on_pooling_server": "as above",
    "pooling_on_generate_server": "as above",
    "pooling_messages": "input only",
    "chat_response_format_json": "constrained output is refused, not imitated",
    "tools_stream_n1_continuous_usage": "recorded from a server started without a tool parser",
    "error_negative_token": "pydantic lists every alternative that does not fit, here one",
    "error_pooling_task_unknown": "as above",
    "error_prompt_plus_max_tokens_too_long": "recorded without its tokens; see test_protocol.py",
    "version": "names the server itself",
    "auth_version_without_key": "names the server itself",
    "auth_metrics_without_key": "recorded without its body",
    "load": "not offered",
    "metrics": "a digest, not an answer; see test_metrics.py",
    "routes": "a list, not an answer",
    "pooling_routes": "a list, not an answer",
}
PREFIXES = ("responses_", "embeddings_")

NAMES = [name for name in recorded.names() if name not in NOT_SERVED and not name.startswith(PREFIXES)]
ANSWERS = [name for name in NAMES if not (recorded.FOLDER / f"{name}.sse").exists()]
STREAMS = [name for name in NAMES if (recorded.FOLDER / f"{name}.sse").exists()]

VOLATILE = {"created", "system_fingerprint", "owned_by"}
RANDOM_ID = re.compile(r"(chatcmpl-tool|chatcmpl|cmpl|pooling|modelperm)-[0-9a-f]{16}")


@pytest.fixture
def ask(monkeypatch):
    """Send a recorded request to an application whose engine says what was recorded."""
    monkeypatch.setenv("VLLM_SYSTEM_START_DATE", "2026-01-01")

    async def send(name):
        request = recorded.load(name)["request"]
        body = recorded.whole(request.get("body"))
        engine = ScriptedEngine(recorded.scripts(name, body or {}), states=recorded.states(name))
        service = Service(engine, model="gpt-oss-20b", root="/models/gpt-oss-20b", dtype="float32")
        guarded = name.startswith("auth_") or name.endswith("_with_enable_scale_out")
        app = create_app(service, api_key="secret" if guarded else None)
        content = request["raw_body"].encode() if "raw_body" in request else None
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(
                request["method"],
                request["path"],
                headers=request["headers"],
                content=json.dumps(body) if content is None and body is not None else content,
            )

    return send


def settled(value):
    """An answer with what differs from run to run replaced by what kind of thing it is."""
    if isinstance(value, dict):
        return {key: type(item).__name__ if key in VOLATILE else settled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [settled(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"pydantic\.dev/[0-9.]+", "pydantic.dev/X", RANDOM_ID.sub(r"\1-ID", value))
    return value


def in_order(value):
    """A body as text, so that the order of its keys counts as well."""
    return json.dumps(settled(value), ensure_ascii=False, indent=1)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ANSWERS)
async def test_answer(ask, name):
    recording = recorded.load(name)["response"]
    response = await ask(name)
    assert response.status_code == recording["status"], response.text
    assert response.headers.get("content-type") == recording["headers"].get("content-type")
    assert response.headers.get("allow") == recording["headers"].get("allow")
    if "body_length" in recording:
        _check_bytes(response, recording)
    elif "body_text" in recording:
        assert response.text == recording["body_text"]
    elif name == "pooling_float_activation":
        _check_activation(response.json(), recording["body"])
    else:
        assert in_order(response.json()) == in_order(_without_templates(recording["body"]))


def _without_templates(body):
    """vLLM's renderer tells of another model family's template here; that is not for us to say."""
    if isinstance(body, dict) and "reasoning_parser_kwargs" in body:
        del body["reasoning_parser_kwargs"]["chat_template_kwargs"]["cohere_format"]
    return body


def _check_bytes(response, recording):
    assert len(response.content) == recording["body_length"]
    first = base64.b64decode(recording["body_first_64_bytes_base64"])
    assert response.content[: len(first)] == first
    told, expected = response.headers.get("metadata"), recording["headers"].get("metadata")
    assert (told is None) == (expected is None)
    if told is not None:
        assert in_order(json.loads(told)) == in_order(json.loads(expected))


def _check_activation(body, expected):
    rows, known = (np.array(each["data"][0].pop("data")) for each in (body, expected))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(rows, known, atol=1e-6)
    assert in_order(body) == in_order(expected)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", STREAMS)
async def test_stream(ask, name):
    recording = recorded.load(name)["response"]
    response = await ask(name)
    assert response.status_code == recording["status"], response.text
    assert response.headers["content-type"] == recording["headers"]["content-type"]
    expected = recorded.recorded_events(name)
    assert len(expected) == recording["events"]
    said = _by_choice(recorded.events(response.text))
    for index, chunks in _by_choice(expected).items():
        assert [in_order(chunk) for chunk in said[index]] == [in_order(chunk) for chunk in chunks]
    assert said.keys() == _by_choice(expected).keys()


def _by_choice(events):
    """Choices of one request come in any order among each other."""
    by_choice = {}
    for event in events:
        index = event["choices"][0]["index"] if event != "[DONE]" and event["choices"] else None
        by_choice.setdefault(index, []).append(event)
    return by_choice


def test_every_recording_is_accounted_for():
    unknown = set(NOT_SERVED) - set(recorded.names())
    assert not unknown
    assert len(ANSWERS) > 100
    assert len(STREAMS) > 12
