"""How the items of measurements are stored: what is JSON of them, and what is arrays beside it.

A class of items needs nothing here: its array fields become columns, everything else is JSON. What must hold
between its fields stands in ``_CHECKS``.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from functools import cache
from typing import Any, Protocol, TypeAlias, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from pytest_gptoss.model.capacity import CapacityProbe
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.results import (
    Generation,
    HiddenStates,
    RecoveredStates,
    ScoredSequence,
    StressAnswer,
    TopLogprobs,
)
from pytest_gptoss.model.stored_json import Mismatch, record

__all__ = ["Array", "Columns", "Form", "Parts", "RecordForm", "needed", "refuse_misfit"]

Array: TypeAlias = npt.NDArray[Any]
Parts: TypeAlias = dict[str, Array]
"""One item's arrays, by column."""
Columns: TypeAlias = Mapping[str, tuple[type[np.generic], int]]
"""Every array that a class may have, by name: the numbers it holds and its dimensions."""

_TOP: Columns = {"top_ids": (np.integer, 2), "top_logprobs": (np.floating, 2)}
_WIDE = {"states"}
"""Array fields with a row a token; all others have a number a token."""
_LARGEST_ID = 2**31 - 1
"""Token ids are int32 wherever they stand in arrays."""


class Form(Protocol):
    """How one class of items is stored."""

    @property
    def columns(self) -> Columns:
        """Its arrays."""

    def fields(self, item: Any) -> dict[str, Json]:
        """Return what is JSON of an item."""

    def parts(self, item: Any) -> Parts:
        """Return an item's arrays."""

    def build(self, stored: Mapping[str, Json], parts: Parts) -> Any:
        """Make the item; raises Mismatch where JSON and arrays are not what this form writes."""


class RecordForm:
    """The form of a data class: arrays and ``TopLogprobs`` are columns, all other fields are JSON."""

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind
        hints = {each.name: get_type_hints(kind)[each.name] for each in fields(kind)}
        self._arrays = {name: found for name, hint in hints.items() if (found := _array_of(hint)) is not None}
        self._optional = {name for name, hint in hints.items() if type(None) in get_args(hint)}

    @property
    def columns(self) -> Columns:
        """Its arrays, those of ``TopLogprobs`` by names of their own."""
        found: dict[str, tuple[type[np.generic], int]] = {}
        for name, array in self._arrays.items():
            found |= _TOP if array is TopLogprobs else {name: (array, 2 if name in _WIDE else 1)}
        return found

    def fields(self, item: Any) -> dict[str, Json]:
        """Return what is JSON of an item."""
        written = asdict(replace(item, **dict.fromkeys(self._arrays)))
        return {name: value for name, value in written.items() if name not in self._arrays}

    def parts(self, item: Any) -> Parts:
        """Return the arrays that the item has."""
        found: Parts = {}
        for name in self._arrays:
            value = getattr(item, name)
            if isinstance(value, TopLogprobs):
                found |= {"top_ids": value.ids, "top_logprobs": value.logprobs}
            elif value is not None:
                found[name] = value
        return found

    def build(self, stored: Mapping[str, Json], parts: Parts) -> Any:
        """Make the item; raises Mismatch."""
        beside = {name: self._beside(name, parts) for name in self._arrays}
        item = record(self._kind, dict(stored), beside)
        refuse_misfit(item)
        return item

    def _beside(self, name: str, parts: Parts) -> Any:
        is_top = self._arrays[name] is TopLogprobs
        if name in self._optional and not any(each in parts for each in (_TOP if is_top else (name,))):
            return None
        return _top(parts) if is_top else needed(parts, name)


def refuse_misfit(item: Any) -> None:
    """Raise Mismatch where fields of an item contradict each other."""
    check = _CHECKS.get(type(item))
    if check is not None:
        check(item)


def needed(parts: Parts, name: str) -> Array:
    """An item's array; raises Mismatch where it has none of that name."""
    if name not in parts:
        raise Mismatch("the array is missing", f".lengths.{name}")
    return parts[name]


@cache
def _array_of(hint: Any) -> type[Any] | None:
    """The numbers of an array field, or TopLogprobs; None of a field that is JSON."""
    if get_origin(hint) in (Union, types.UnionType):
        return next((found for each in get_args(hint) if (found := _array_of(each)) is not None), None)
    if hint is TopLogprobs:
        return TopLogprobs
    if get_origin(hint) is not np.ndarray:
        return None
    (number,) = get_args(get_args(hint)[1])
    return np.integer if issubclass(number, np.integer) else np.floating


def _top(parts: Parts) -> TopLogprobs:
    ids, logprobs = needed(parts, "top_ids"), needed(parts, "top_logprobs")
    if ids.shape != logprobs.shape:
        raise Mismatch(f"{list(ids.shape)} ids with {list(logprobs.shape)} log-probabilities", ".lengths")
    return TopLogprobs(ids, logprobs)


def _refuse_no_ids(name: str, ids: tuple[int, ...] | None) -> None:
    for index, token in enumerate(ids or ()):
        if not 0 <= token <= _LARGEST_ID:
            raise Mismatch(f"{token} is no token id", f".{name}[{index}]")


def _check_generation(item: Generation) -> None:
    _refuse_no_ids("token_ids", item.token_ids)
    _refuse_no_ids("prompt_token_ids", item.prompt_token_ids)


def _check_scored(item: ScoredSequence | StressAnswer) -> None:
    _refuse_no_ids("token_ids", item.token_ids)
    count, rows = len(item.token_ids) - item.first, len(item.top.ids)
    if item.first < 1 or not count == len(item.logprobs) == rows:
        raise Mismatch(
            f"{len(item.logprobs)} scores and {rows} lists for {count} tokens from {item.first} on"
        )


def _check_stressed(item: StressAnswer) -> None:
    _check_scored(item)
    if not item.top.ids.shape[1]:
        raise Mismatch("no likeliest token at any position", ".lengths.top_ids")
    if item.generated is not None and len(item.generated) != len(item.logprobs):
        raise Mismatch(
            f"{len(item.generated)} log-probabilities for {len(item.logprobs)} tokens", ".generated"
        )


def _check_hidden(item: HiddenStates) -> None:
    _refuse_no_ids("token_ids", item.token_ids)
    if len(item.states) != len(item.token_ids):
        raise Mismatch(f"{len(item.states)} states for {len(item.token_ids)} tokens")


def _check_recovered(item: RecoveredStates) -> None:
    _refuse_no_ids("token_ids", item.token_ids)
    if len(item.states) != len(item.fits):
        raise Mismatch(f"{len(item.states)} states for {len(item.fits)} positions", ".fits")
    positions = [each.position for each in item.fits]
    last = len(item.token_ids) - 1
    if positions != sorted(set(positions)) or not all(0 <= each <= last for each in positions):
        raise Mismatch(f"positions that do not rise from 0 to {last}", ".fits")


def _check_probe(item: CapacityProbe) -> None:
    if not 0 <= item.kept <= item.requests or not 0 <= item.failed <= item.requests:
        raise Mismatch(
            f"{item.kept} of {item.requests} requests kept the level, {item.failed} failed", ".kept"
        )


_CHECKS: Mapping[type[Any], Callable[[Any], None]] = {
    Generation: _check_generation,
    ScoredSequence: _check_scored,
    StressAnswer: _check_stressed,
    HiddenStates: _check_hidden,
    RecoveredStates: _check_recovered,
    CapacityProbe: _check_probe,
}
"""What must hold between an item's fields; each raises Mismatch."""
