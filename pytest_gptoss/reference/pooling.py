"""/pooling: the hidden states after the final norm, one row a token."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import Response

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.reference.api_errors import bad_request, bad_value, not_found
from pytest_gptoss.reference.fields import Fields, read_fields
from pytest_gptoss.reference.prompts import read_prompts
from pytest_gptoss.reference.replies import JsonReply, while_connected
from pytest_gptoss.reference.service import Service, request_id, service_of

__all__ = ["pool"]

States: TypeAlias = npt.NDArray[np.float32]

_TASKS = ("embed", "classify", "token_embed", "token_classify", "plugin", "embed&token_classify")
_FORMATS = ("float", "base64", "bytes", "bytes_only")
_DTYPES = ("float32", "float16", "bfloat16")
_ORDERS = {"native": "=", "big": ">", "little": "<"}


async def pool(request: Request) -> Response:
    """Hidden states as JSON numbers, base64, or raw bytes with their shapes in the ``metadata`` header."""
    service = service_of(request)
    fields = await read_fields(request)
    asked = fields.text("model")
    if asked and asked != service.model:
        raise not_found(asked)
    _check_task(fields)
    form = fields.one_of("encoding_format", _FORMATS) or "float"
    dtype = fields.one_of("embed_dtype", _DTYPES) or "float32"
    order = fields.one_of("endianness", tuple(_ORDERS)) or "native"
    if fields.raw("dimensions") is not None:
        raise bad_value("dimensions is currently not supported", param="dimensions")
    if fields.raw("messages") is not None:
        raise bad_request("messages are not supported by the reference server here: send input")
    prompts = read_prompts(fields, "input", service)
    states = await while_connected(request.receive, _embed(service, prompts))
    if fields.flag("use_activation"):
        states = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in states]
    head = {"id": request_id(request, fields, "pooling"), "created": int(time.time()), "model": service.model}
    if form in {"bytes", "bytes_only"}:
        return _raw(head, states, dtype, order, described=form == "bytes")
    encoded = [
        rows.tolist() if form == "float" else base64.b64encode(_packed(rows, dtype, order)).decode()
        for rows in states
    ]
    return JsonReply(
        {
            "id": head["id"],
            "object": "list",
            "created": head["created"],
            "model": head["model"],
            "data": [{"index": i, "object": "pooling", "data": data} for i, data in enumerate(encoded)],
            "usage": {
                **_usage(states),
                "completion_tokens": 0,
                "prompt_tokens_details": None,
                "completion_tokens_details": None,
            },
        }
    )


def _check_task(fields: Fields) -> None:
    task = fields.one_of("task", _TASKS)
    if task == "embed":
        message = "Try switching the model's pooling_task via --pooler-config.task embed."
        raise bad_value(message, param="task")
    if task not in (None, "token_embed"):
        message = f"Unsupported task: {task!r} Supported tasks: ['token_embed', 'embed']"
        raise bad_value(message, param="task")


async def _embed(service: Service, prompts: Sequence[tuple[int, ...]]) -> list[States]:
    return [await service.engine.embed(prompt) for prompt in prompts]


def _raw(
    head: dict[str, Json], states: Sequence[States], dtype: str, order: str, *, described: bool
) -> Response:
    parts = [_packed(rows, dtype, order) for rows in states]
    headers = {}
    if described:
        ends = np.cumsum([len(part) for part in parts]).tolist()
        data = [
            {
                "index": index,
                "embed_dtype": dtype,
                "endianness": order,
                "start": end - len(part),
                "end": end,
                "shape": list(rows.shape),
            }
            for index, (part, end, rows) in enumerate(zip(parts, ends, states, strict=True))
        ]
        headers["metadata"] = json.dumps({**head, "data": data, "usage": _usage(states)})
    return Response(b"".join(parts), media_type="application/octet-stream", headers=headers)


def _usage(states: Sequence[States]) -> dict[str, Json]:
    tokens = sum(len(rows) for rows in states)
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def _packed(rows: States, dtype: str, order: str) -> bytes:
    mark = _ORDERS[order]
    if dtype == "bfloat16":
        return _as_bfloat16(rows).astype(f"{mark}u2").tobytes()
    return rows.astype(f"{mark}f{4 if dtype == 'float32' else 2}").tobytes()


def _as_bfloat16(rows: States) -> npt.NDArray[np.uint16]:
    """The upper halves of the float32 bits, rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(rows, dtype=np.float32).view(np.uint32)
    rounding = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    halves: npt.NDArray[np.uint16] = ((bits + rounding) >> np.uint32(16)).astype(np.uint16)
    return halves
