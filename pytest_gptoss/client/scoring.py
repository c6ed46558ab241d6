"""Teacher forcing on ``/v1/completions``: the server's ``prompt_logprobs`` of given token ids."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from pytest_gptoss.client.bodies import shown
from pytest_gptoss.client.logprobs import chosen_logprobs, top_logprobs
from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import ScoredSequence
from pytest_gptoss.model.sentinels import filler

__all__ = ["score_body", "scored_sequence"]

_WHAT = "prompt_logprobs"


def score_body(sequence: TokenSequence, *, top: int) -> dict[str, Json]:
    """The body of a request for scores. One token is generated, vLLM's minimum; it is ignored."""
    return {
        "prompt": list(sequence.token_ids),
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": top,
    }


def scored_sequence(answer: Json, sequence: TokenSequence, *, top: int) -> ScoredSequence:
    """The scores: entry i of ``prompt_logprobs`` maps token ids to ``{logprob, rank}`` at position i.

    The server adds the prompt's token at each position to the top k. Raises DialectError when the list is
    missing, has another length, lacks one of these tokens, lists fewer than were asked for, or holds a value
    that is no finite number.
    """
    entries = _entries(answer)
    if len(entries) != len(sequence.token_ids):
        raise DialectError(
            say(
                "{what} has {entries} entries for {tokens} prompt tokens: the server did not "
                "take the prompt as it was sent; is truncation on?",
                what=_WHAT,
                entries=len(entries),
                tokens=len(sequence.token_ids),
            )
        )
    rows = entries[sequence.first :]
    positions = range(sequence.first, len(entries))
    given = [_given_logprob(entries[place], sequence.token_ids[place], place) for place in positions]
    try:
        logprobs = [entry["logprob"] for row in rows for entry in row.values()]
        ranks = [entry.get("rank") for row in rows for entry in row.values()]
        ids = list(map(int, chain.from_iterable(rows)))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise DialectError(
            say("{what} holds an entry that is not TOKEN_ID: {{logprob, rank}}", what=_WHAT)
        ) from None
    sizes = [len(row) for row in rows]
    chosen = chosen_logprobs(given, _WHAT, first=sequence.first)
    ranked = top_logprobs(sizes, ids, logprobs, k=top, what=_WHAT, first=sequence.first, ranks=ranks)
    # One number for all tokens is no measurement either, which says more than that its lists are short.
    if filler(chosen, ranked) is None:
        _refuse_short(sizes, top, sequence.first)
    return ScoredSequence(
        sequence_id=sequence.id,
        token_ids=sequence.token_ids,
        first=sequence.first,
        logprobs=chosen,
        top=ranked,
    )


def _refuse_short(sizes: Sequence[int], top: int, first: int) -> None:
    """Raise DialectError for a list of fewer tokens than were asked for: what it lacks would look equal."""
    short = next((place for place, size in enumerate(sizes) if size < top), None)
    if short is not None:
        raise DialectError(
            say(
                "{what}[{position}] lists {size} of the {top} likeliest tokens that were asked for: does "
                "something between here and the server shorten it? serve with --max-logprobs {top}",
                what=_WHAT,
                position=first + short,
                size=sizes[short],
                top=top,
            )
        )


def _given_logprob(row: Json, token: int, position: int) -> Json:
    try:
        return row[str(token)]["logprob"]
    except (KeyError, TypeError):
        raise DialectError(
            say(
                "{what}[{position}] holds no log-probability of its own token {token} but {row}: "
                "the server did not score the prompt that was sent",
                what=_WHAT,
                position=position,
                token=token,
                row=shown(row, 80),
            )
        ) from None


def _entries(answer: Json) -> list[Json]:
    try:
        choice = answer["choices"][0]
        entries = choice.get(_WHAT) or answer.get(_WHAT)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise DialectError(say("expected a completion, but {answer} came", answer=shown(answer))) from None
    if not isinstance(entries, list):
        raise DialectError(
            say(
                "the answer holds no {what}: the server ignores the request for them; serve with "
                "vLLM, or waive the rows that need teacher forcing",
                what=_WHAT,
            )
        )
    return entries
