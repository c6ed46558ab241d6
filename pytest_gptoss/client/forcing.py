"""The log-probability of one given token after a prompt: the only token that the server may generate.

``prompt_logprobs`` would give it too, but computes the logits of the full prompt, which for long ones
exhausts a device's memory. vLLM takes log-probabilities before it masks the other tokens (``--logprobs-mode
raw_logprobs``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_gptoss.client.generation import completion_body
from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation
from pytest_gptoss.model.sentinels import NEVER, filler

__all__ = ["forced_body", "forced_logprob"]


def forced_body(prompt: Sequence[int], token: int, *, top: int) -> dict[str, Json]:
    """The body of a request for one token after the prompt, ``token``, and the ``top`` likeliest."""
    body = completion_body(prompt, max_tokens=1, top=top)
    # No ids are asked for: the prompt's would come back too. The token's id is in the log-probabilities.
    return {**body, "allowed_token_ids": [token], "return_token_ids": False}


def forced_logprob(answer: Generation, token: int) -> float:
    """The log-probability of ``token`` in nats, from the answer to ``forced_body``.

    A server that generates another token may still list this one among the likeliest. Raises DialectError
    where it does not, where the other tokens were masked before the log-probabilities were taken, and where
    the value is no log-probability.
    """
    if answer.logprobs is None or answer.top is None or answer.token_ids is None:
        raise DialectError(
            say("the answer holds no log-probabilities by token id: serve with a current vLLM")
        )
    ids, logprobs = answer.top.ids[0], answer.top.logprobs[0]
    if answer.token_ids == (token,):
        others = logprobs[(ids != token) & (ids >= 0)]
        if others.size and np.all(others <= NEVER):
            raise DialectError(
                say(
                    "log-probabilities are taken after other tokens were forbidden: "
                    "serve with --logprobs-mode raw_logprobs"
                )
            )
        if filler(answer.logprobs, answer.top) is not None:
            raise DialectError(
                say(
                    "the log-probability of token {token} came as {logprob} without alternatives: "
                    "that is no measurement; serve with logprobs computed",
                    token=token,
                    logprob=answer.logprobs[0],
                )
            )
        return float(answer.logprobs[0])
    listed = np.flatnonzero(ids == token)
    if not listed.size:
        raise DialectError(
            say(
                "token {generated} was generated where {token} alone is allowed, which is not "
                "among the {shown} likeliest: the server does not heed allowed_token_ids",
                generated=answer.token_ids[0],
                token=token,
                shown=int((ids >= 0).sum()),
            )
        )
    if logprobs[listed[0]] <= NEVER:
        raise DialectError(
            say(
                "the log-probability of token {token} came as {logprob}, which stands for NaN "
                "or minus infinity: the server forbids the token that alone is allowed; see its "
                "log",
                token=token,
                logprob=logprobs[listed[0]],
            )
        )
    return float(logprobs[listed[0]])
