"""Measurements made by hand, small enough to compute the answer on paper."""

import numpy as np

from pytest_gptoss.model.results import (
    Failure,
    Generation,
    HiddenStates,
    Measurement,
    ScoredSequence,
    TopLogprobs,
)

PROMPT = (200006, 1428, 200008, 7, 200007)


def measurement(device, items, **fields):
    return Measurement(f"scenario-of-{device}", device, tuple(items), **fields)


def answer(prompt_id, token_ids=(1, 2), *, prompt=PROMPT, content="", reasoning="", **fields):
    return Generation(
        prompt_id=prompt_id,
        prompt_token_ids=prompt,
        token_ids=token_ids,
        reasoning=reasoning,
        content=content,
        tool_calls=fields.pop("tool_calls", ()),
        finish_reason="stop",
        prompt_tokens=len(prompt or ()),
        completion_tokens=len(token_ids or ()),
        **fields,
    )


def top(*rows, width=None):
    """Top lists from dicts of id to log-probability, most likely first, padded to the widest."""
    width = width or max(len(row) for row in rows)
    ids = np.full((len(rows), width), -1, dtype=np.int32)
    logprobs = np.full((len(rows), width), -np.inf, dtype=np.float32)
    for index, row in enumerate(rows):
        for column, (token, logprob) in enumerate(sorted(row.items(), key=lambda pair: -pair[1])):
            ids[index, column], logprobs[index, column] = token, logprob
    return TopLogprobs(ids, logprobs)


def scored(sequence_id, logprobs, *, tops=None, first=3, token_ids=None):
    """A sequence whose scored part begins at ``first``; its top lists are sure of token 1 unless given."""
    logprobs = np.array(logprobs, dtype=np.float64)
    token_ids = token_ids or tuple(range(first + len(logprobs)))
    rows = tops or [{1: -0.1, 2: -3.0}] * len(logprobs)
    return ScoredSequence(sequence_id, token_ids, first, logprobs, top(*rows))


def hidden(sequence_id, states, token_ids=None):
    states = np.asarray(states, dtype=np.float32)
    return HiddenStates(sequence_id, token_ids or tuple(range(len(states))), states)


def failure(item_id="p9", kind="timeout", message="no token within 60 s"):
    return Failure(item_id, kind, message)
