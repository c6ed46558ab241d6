"""Hidden states from ``/pooling``, task ``token_embed``: one vector a token, after the final norm.

With ``encoding_format`` ``bytes`` the body is raw numbers and a ``metadata`` header holds their
shape as JSON; with ``float`` it is JSON, which takes some twenty times as long to read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from pytest_gptoss.client.bodies import shown
from pytest_gptoss.client.logprobs import COUNT_LIMIT
from pytest_gptoss.model.arrays import Float32Array
from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import HiddenStates

__all__ = ["Encoding", "hidden_body", "require_numbers", "states_from_bytes", "states_from_json"]

Encoding: TypeAlias = Literal["bytes", "float"]

_OTHER_BRACKETS = 100
"""Lists and objects that an answer may hold besides one list a token."""

_WAY_OUT = say(
    "serve with --runner pooling --convert embed and a pooler config of use_activation false "
    "(newer vLLM: also task token_embed)"
)


def hidden_body(token_ids: Sequence[int], encoding: Encoding) -> dict[str, Json]:
    """The body of a request for hidden states. It names the task: 0.18.1's pooler config cannot."""
    return {"input": list(token_ids), "task": "token_embed", "encoding_format": encoding}


def states_from_bytes(
    headers: Mapping[str, str], body: bytes, *, sequence_id: str, token_ids: tuple[int, ...]
) -> HiddenStates:
    """The states from raw float32 numbers with their shape in the ``metadata`` header.

    Raises DialectError when the header is missing or does not fit the body or the tokens.
    """
    try:
        item = json.loads(headers["metadata"])["data"][0]
        dtype, endianness = item["embed_dtype"], item.get("endianness") or "native"
        rows, width = (_size(each) for each in item["shape"])
    except KeyError as error:
        raise DialectError(
            say(
                "the answer lacks {lacking} where the shape of its bytes should stand: does a "
                "proxy drop the metadata header?",
                lacking=error,
            )
        ) from None
    except (IndexError, TypeError, ValueError, AttributeError, RecursionError):
        raise DialectError(
            say(
                "the metadata header is {metadata}: expected one matrix, one vector a token; {way_out}",
                metadata=shown(headers["metadata"], 120),
                way_out=_WAY_OUT,
            )
        ) from None
    if dtype != "float32" or endianness not in ("native", "little", "big"):
        raise DialectError(
            say(
                "hidden states came as {dtype}, endianness {endianness}: expected float32",
                dtype=shown(dtype, 40),
                endianness=shown(endianness, 40),
            )
        )
    if len(body) != rows * width * 4:
        raise DialectError(
            say(
                "{body} bytes came for a matrix of {rows} x {width} float32",
                body=len(body),
                rows=rows,
                width=width,
            )
        )
    # "native" is the server's order; every platform that vLLM serves on is little-endian.
    numbers = np.frombuffer(body, dtype=">f4" if endianness == "big" else "<f4")
    return _checked(numbers.reshape(rows, width).astype(np.float32), sequence_id, token_ids)


def require_numbers(body: bytes, tokens: int) -> None:
    """Raise DialectError for a body with many more lists and objects than tokens, before it is parsed.

    Empty objects take by far the most memory when parsed: this bounds it.
    """
    brackets = body.count(b"[") + body.count(b"{")
    if brackets > tokens + _OTHER_BRACKETS:
        raise DialectError(
            say(
                "{brackets} lists and objects came for {tokens} tokens: expected one vector a "
                "token; {way_out}",
                brackets=brackets,
                tokens=tokens,
                way_out=_WAY_OUT,
            )
        )


def states_from_json(answer: Json, *, sequence_id: str, token_ids: tuple[int, ...]) -> HiddenStates:
    """The states from JSON, ``data[0].data`` a list of vectors. Raises as ``states_from_bytes`` does."""
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
            states = np.array(answer["data"][0]["data"], dtype=np.float32)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        raise DialectError(
            say(
                "expected one vector a token, but {answer} came; {way_out}",
                answer=shown(answer, 120),
                way_out=_WAY_OUT,
            )
        ) from None
    return _checked(states, sequence_id, token_ids)


def _size(value: Json) -> int:
    if type(value) is not int or not 0 <= value < COUNT_LIMIT:
        raise ValueError
    return value


def _checked(states: Float32Array, sequence_id: str, token_ids: tuple[int, ...]) -> HiddenStates:
    if states.ndim != 2 or states.shape[0] != len(token_ids) or states.shape[1] == 0:
        shape = " x ".join(str(size) for size in states.shape)
        raise DialectError(
            say(
                "hidden states of shape {shape} came for {tokens} tokens: expected one vector "
                "a token; {way_out}",
                shape=shape,
                tokens=len(token_ids),
                way_out=_WAY_OUT,
            )
        )
    wrong = np.flatnonzero(~np.isfinite(states).all(axis=1))
    if wrong.size:
        raise DialectError(
            say(
                "the hidden state at position {position} is not finite ({wrong} of {tokens} "
                "positions): the device computes something that is no number",
                position=wrong[0],
                wrong=wrong.size,
                tokens=len(token_ids),
            )
        )
    return HiddenStates(sequence_id=sequence_id, token_ids=token_ids, states=states)
