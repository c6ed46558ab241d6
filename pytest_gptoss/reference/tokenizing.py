"""/tokenize and /detokenize."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from pytest_gptoss.reference.api_errors import bad_request
from pytest_gptoss.reference.fields import Fields, read_fields
from pytest_gptoss.reference.replies import JsonReply
from pytest_gptoss.reference.service import service_of
from pytest_gptoss.reference.tokens import byte_level, decode, encode

__all__ = ["detokenize", "tokenize"]


async def tokenize(request: Request) -> Response:
    """The ids of a prompt, exactly; of messages, in a plain form without harmony's frame, as vLLM does."""
    service = service_of(request)
    fields = await read_fields(request)
    service.check_model(fields)
    text = _conversation(fields) if fields.raw("messages") is not None else fields.text("prompt")
    if text is None:
        fields.required("prompt")
        raise bad_request("prompt must be a string", param="prompt")
    ids = encode(text)
    strings = [byte_level(each) for each in ids] if fields.flag("return_token_strs") else None
    return JsonReply(
        {
            "count": len(ids),
            "max_model_len": service.engine.max_model_len,
            "tokens": ids,
            "token_strs": strings,
        }
    )


async def detokenize(request: Request) -> Response:
    """The text of ids, control tokens included."""
    service = service_of(request)
    fields = await read_fields(request)
    service.check_model(fields)
    fields.required("tokens")
    ids = fields.integers("tokens")
    for each in ids:
        if not 0 <= each < service.engine.vocab_size:
            raise bad_request(f"Token id {each} is out of vocabulary")
    return JsonReply({"prompt": decode(ids)})


def _conversation(fields: Fields) -> str:
    turns = [
        f"<|start|>{turn.text('role')}<|message|>{turn.text('content') or ''}<|end|>"
        for turn in fields.parts("messages")
    ]
    opening = "<|start|>assistant" if fields.flag("add_generation_prompt", default=True) else ""
    return "".join(turns) + opening
