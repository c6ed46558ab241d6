"""The log-probabilities of very many next tokens after a prompt: what hidden states are recovered from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_gptoss.client.bodies import shown
from pytest_gptoss.client.logprobs import chosen_logprobs, token_id_named
from pytest_gptoss.model.arrays import FloatArray, IntArray
from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.sentinels import NEVER

__all__ = ["NextLogprobs", "next_logprobs", "next_logprobs_body"]

_WHAT = "top_logprobs"


@dataclass(frozen=True, slots=True, eq=False)
class NextLogprobs:
    """The most likely next tokens: ``ids`` int32 [n], each once, and ``logprobs`` float64 [n] in nats."""

    ids: IntArray
    logprobs: FloatArray


def next_logprobs_body(token_ids: Sequence[int], count: int, cache_salt: str) -> dict[str, Json]:
    """The body of a request for ``count`` log-probabilities of the token after ``token_ids``."""
    return {
        "prompt": list(token_ids),
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": count,
        "return_tokens_as_token_ids": True,
        "cache_salt": cache_salt,
    }


def next_logprobs(answer: Json) -> NextLogprobs:
    """The log-probabilities of an answer, which names tokens ``token_id:N``.

    Tokens that cannot come (-9999.0) are left out: a mask has put them there, not the model. Raises
    DialectError where the answer holds none by token id, or a value that is no log-probability.
    """
    table = _table(answer)
    ids = [token_id_named(name) for name in table]
    unnamed = next((name for name, token in zip(table, ids, strict=True) if token is None), None)
    if unnamed is not None:
        raise DialectError(
            say(
                "{what} names a token {name}: expected token_id:N, return_tokens_as_token_ids is not heeded",
                what=_WHAT,
                name=shown(unnamed, 60),
            )
        )
    kept = [(token, value) for token, value in zip(ids, table.values(), strict=True) if value != NEVER]
    return NextLogprobs(
        np.array([token for token, _ in kept], dtype=np.int32),
        chosen_logprobs([value for _, value in kept], _WHAT),
    )


def _table(answer: Json) -> Mapping[str, Json]:
    try:
        table = answer["choices"][0]["logprobs"][_WHAT][0]
    except (KeyError, IndexError, TypeError):
        table = None
    if not isinstance(table, dict) or not table:
        raise DialectError(
            say(
                "the answer holds no {what} of its token but {answer}: serve with a current vLLM",
                what=_WHAT,
                answer=shown(answer, 120),
            )
        )
    return table
