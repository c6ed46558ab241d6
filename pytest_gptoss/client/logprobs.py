"""Token ids and log-probabilities as servers write them, checked and converted to arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_gptoss.client.bodies import shown
from pytest_gptoss.model.arrays import FloatArray
from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import TopLogprobs
from pytest_gptoss.model.sentinels import NEVER, no_logprobs, why_no_logprob

__all__ = ["COUNT_LIMIT", "chosen_logprobs", "token_id_named", "token_ids", "top_logprobs"]

_ID_MARK = "token_id:"
_ID_LIMIT = 2**31
COUNT_LIMIT = 2**31
"""Counts of tokens are below this."""


def token_ids(value: Json, what: str) -> tuple[int, ...]:
    """A checked list of token ids. Raises DialectError naming the first entry that is none."""
    if not isinstance(value, list):
        raise DialectError(
            say("{what} is {value}: expected a list of token ids", what=what, value=shown(value, 60))
        )
    for place, each in enumerate(value):
        if type(each) is not int or not 0 <= each < _ID_LIMIT:
            raise DialectError(
                say(
                    "{what}[{place}] is {each}: expected a token id",
                    what=what,
                    place=place,
                    each=shown(each, 60),
                )
            )
    return tuple(value)


def token_id_named(token: Json) -> int | None:
    """Read the id in ``token_id:N``, as ``return_tokens_as_token_ids`` writes tokens; None for other text."""
    if not isinstance(token, str) or not token.startswith(_ID_MARK):
        return None
    digits = token.removeprefix(_ID_MARK).strip()
    if not digits.isdecimal() or len(digits) > 10 or int(digits) >= _ID_LIMIT:
        return None
    return int(digits)


def chosen_logprobs(values: Sequence[Json], what: str, *, first: int = 0) -> FloatArray:
    """Checked log-probabilities of generated or scored tokens in nats, float64 [T].

    ``first`` is the position of the first one. Raises DialectError naming the first position whose value
    cannot be one: no finite number, -9999.0 or less, above 0.
    """
    array = _numbers(values, what)
    wrong = np.flatnonzero(no_logprobs(array))
    if wrong.size:
        place = int(wrong[0])
        raise DialectError(
            say(
                "{what} at position {position} is {value} ({wrong} of {all} are no log-probability): {why}",
                what=what,
                position=first + place,
                value=shown(values[place], 40),
                wrong=wrong.size,
                all=array.size,
                why=why_no_logprob(float(array[place])),
            )
        )
    return array


def top_logprobs(
    sizes: Sequence[int],
    ids: Sequence[int],
    logprobs: Sequence[Json],
    *,
    k: int,
    what: str,
    first: int = 0,
    ranks: Sequence[Json] | None = None,
) -> TopLogprobs:
    """Rank the k most likely tokens of T positions, from ragged rows laid end to end.

    ``sizes`` [T] says how many entries each row has; ``ids``, ``logprobs`` and ``ranks`` are flat.
    Rows are sorted by log-probability, equal ones by rank, then by place. A row of more than k
    entries (the given token, where it is not among the top k, is an extra one) keeps the first k.
    Minus infinity, and what is below -9999.0, becomes the -9999.0 that vLLM writes for a token that cannot
    come. Raises DialectError for another value that is no log-probability or an id that is none.
    """
    rows = len(sizes)
    lengths = np.asarray(sizes, dtype=np.int64)
    width = max(k, int(lengths.max(initial=0)))
    filled = np.arange(width) < lengths[:, None]
    values = _numbers(logprobs, what)
    values = np.maximum(values, NEVER)  # which keeps NaN
    wrong = np.flatnonzero(no_logprobs(values) & (values != NEVER))
    if wrong.size:
        entry = int(wrong[0])
        position = first + int(np.searchsorted(np.cumsum(lengths), entry, side="right"))
        why = why_no_logprob(float(values[entry]))
        raise DialectError(
            say(
                "{what} at position {position} hold {logprob}: {why}",
                what=what,
                position=position,
                logprob=shown(logprobs[entry], 40),
                why=why,
            )
        )
    all_ids = _within_int32(ids, what)
    table_ids = np.full((rows, width), -1, dtype=np.int32)
    table = np.full((rows, width), -np.inf, dtype=np.float64)
    order = np.zeros((rows, width), dtype=np.float64)
    table_ids[filled] = all_ids
    table[filled] = values
    if ranks is not None:
        order[filled] = np.nan_to_num(_numbers(ranks, what))
    sorting = np.lexsort((order, -table), axis=-1)[:, :k]
    return TopLogprobs(
        ids=np.take_along_axis(table_ids, sorting, axis=1),
        logprobs=np.take_along_axis(table, sorting, axis=1).astype(np.float32),
    )


def _numbers(values: Sequence[Json], what: str) -> FloatArray:
    try:
        # None, as JSON's null, becomes NaN.
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.shape != (len(values),):
        raise DialectError(
            say("{what} hold something that is no number: expected log-probabilities in nats", what=what)
        )
    return array


def _within_int32(ids: Sequence[int], what: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    try:
        array = np.array(ids, dtype=np.int64)
    except OverflowError:
        array = np.array([-1])
    if array.size and (array.min() < 0 or array.max() >= _ID_LIMIT):
        raise DialectError(say("{what} name a token id outside 0 to {most}", what=what, most=_ID_LIMIT - 1))
    return array
