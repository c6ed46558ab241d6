"""The recorded answers of two vLLM generations."""

import json
from pathlib import Path

VERSIONS = ("0.18.1", "0.32.0")
_WIRE = Path(__file__).parents[1] / "wire"


def transcript(version, name):
    return json.loads((_WIRE / version / f"{name}.json").read_text("utf-8"))


def response_body(version, name):
    return transcript(version, name)["response"]["body"]


def sse(version, name):
    return (_WIRE / version / f"{name}.sse").read_bytes()


def sse_chunks(version, name):
    """The JSON chunks of a recorded stream, without ``[DONE]``."""
    lines = sse(version, name).decode().split("\n")
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [json.loads(each) for each in data[:-1]]
