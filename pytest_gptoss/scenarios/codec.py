"""Measurements to JSON with arrays beside it, and back.

Per-token arrays of all items are laid end to end, one array a name, and the JSON keeps each item's
length: a reader maps the file into memory and every item is a view. The requests of a load level are
columns of the same kind: a row for each request, and a row for each of their events.

Decoding trusts nothing: types, keys, column names, shapes and lengths are checked, since a file may be
damaged or somebody else's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.results import Failure, LoadLevel, Measurement
from pytest_gptoss.model.stored_json import Mismatch, typed
from pytest_gptoss.scenarios.item_forms import Array, Form, Parts, RecordForm
from pytest_gptoss.scenarios.level_form import LevelForm
from pytest_gptoss.scenarios.registry import item_classes, kind_of_id
from pytest_gptoss.scenarios.scenario_id import begins_with

__all__ = ["Arrays", "array_names", "decode", "encode"]

Arrays: TypeAlias = Mapping[str, Array]


@dataclass(frozen=True)
class _Document:
    """A measurement's JSON as ``encode`` writes it, with ``arrays`` from whoever keeps the arrays."""

    scenario_id: str
    device: str
    complete: bool
    started: str
    ended: str
    provenance: Mapping[str, Json]
    left_out: Mapping[str, str]
    failures: tuple[Failure, ...]
    kind: str | None
    items: tuple[Mapping[str, Json], ...]
    arrays: tuple[str, ...] = ()


def encode(measurement: Measurement[Any]) -> tuple[dict[str, Json], Parts]:
    """A JSON document and its arrays, each [total, ...] over all items in order."""
    kind = type(measurement.items[0]).__name__ if measurement.items else None
    document: dict[str, Json] = {
        "scenario_id": measurement.scenario_id,
        "device": measurement.device,
        "complete": measurement.complete,
        "started": measurement.started,
        "ended": measurement.ended,
        "provenance": dict(measurement.provenance),
        "left_out": dict(measurement.left_out),
        "failures": [asdict(failure) for failure in measurement.failures],
        "kind": kind,
        "items": [],
    }
    if kind is None:
        return document, {}
    form = _form(kind)
    columns: dict[str, list[Array]] = {}
    for item in measurement.items:
        parts = form.parts(item)
        lengths = {name: len(part) for name, part in parts.items()}
        document["items"].append({**form.fields(item), "lengths": lengths})
        for name, part in parts.items():
            columns.setdefault(name, []).append(part)
    return document, {name: _stack(column) for name, column in columns.items()}


def array_names(document: Json) -> tuple[str, ...]:
    """Names of the arrays that belong to a measurement's JSON; raises Mismatch for one that nobody writes."""
    head = typed(_Document, document)
    known = _form(head.kind).columns if head.kind is not None else {}
    for index, name in enumerate(head.arrays):
        if name not in known:
            raise Mismatch(f"{head.kind} has no array {name!r}", f".arrays[{index}]")
    return tuple(dict.fromkeys(head.arrays))


def decode(document: Json, arrays: Arrays) -> Measurement[Any]:
    """The measurement that ``encode`` wrote; its items view ``arrays``, nothing is copied.

    Raises Mismatch where document or arrays are not what ``encode`` writes.
    """
    head = typed(_Document, document)
    _refuse_other_scenario(head)
    items: list[Any] = []
    at = dict.fromkeys(arrays, 0)
    for name, array in arrays.items():
        _refuse_other_column(_form(head.kind), name, array)
    try:
        for fields in head.items:
            parts = _parts(fields, arrays, at)
            stored = {name: value for name, value in fields.items() if name != "lengths"}
            items.append(_form(head.kind).build(stored, parts))
    except Mismatch as error:
        raise error.inside(f".items[{len(items)}]") from None
    for name, end in at.items():
        if end != len(arrays[name]):
            raise Mismatch(f"{len(arrays[name])} rows, and its items have {end}", f" array {name}")
    return Measurement(
        scenario_id=head.scenario_id,
        device=head.device,
        items=tuple(items),
        failures=head.failures,
        left_out=head.left_out,
        complete=head.complete,
        started=head.started,
        ended=head.ended,
        provenance=head.provenance,
    )


def _refuse_other_scenario(head: _Document) -> None:
    """Raise Mismatch where device or class of the items do not belong to the scenario."""
    kind = kind_of_id(head.scenario_id)
    if kind is None:
        return
    if not begins_with(head.scenario_id, f"{kind.word}-{head.device}"):
        raise Mismatch(f"{head.device[:40]!r} is not the device of {head.scenario_id[:80]}", ".device")
    names = [each.__name__ for each in kind.item_classes]
    if head.kind is not None and head.kind not in names:
        raise Mismatch(f"{head.kind[:40]!r} where {' or '.join(names)} belongs", ".kind")


def _form(kind: str | None) -> Form:
    if kind is None or kind not in item_classes():
        raise Mismatch(f"{kind!r} is no kind of item", ".kind")
    return _form_of(kind)


@cache
def _form_of(kind: str) -> Form:
    item_class = item_classes()[kind]
    return LevelForm() if item_class is LoadLevel else RecordForm(item_class)


def _refuse_other_column(form: Form, name: str, array: Array) -> None:
    kind, dimensions = form.columns[name]
    if not np.issubdtype(array.dtype, kind) or array.ndim != dimensions:
        raise Mismatch(
            f"{array.dtype} {list(array.shape)} where {dimensions} dimensions of {kind.__name__} belong",
            f" array {name}",
        )


def _parts(fields: Mapping[str, Json], arrays: Arrays, at: dict[str, int]) -> Parts:
    """The item's views into the arrays, beginning where the item before ended."""
    parts: Parts = {}
    lengths = typed(Mapping[str, int], fields.get("lengths"))
    for name, length in lengths.items():
        if name not in arrays:
            raise Mismatch("there is no such array", f".lengths.{name[:40]}")
        if not 0 <= length <= len(arrays[name]) - at[name]:
            raise Mismatch(f"{length} rows, and {len(arrays[name]) - at[name]} are left", f".lengths.{name}")
        parts[name] = arrays[name][at[name] : at[name] + length]
        at[name] += length
    return parts


def _stack(column: list[Array]) -> Array:
    """Lay arrays end to end; rows of differing width (top lists) are padded to the widest."""
    if column[0].ndim == 1:
        return np.concatenate(column)
    width = max(part.shape[1] for part in column)
    padding = -1 if np.issubdtype(column[0].dtype, np.integer) else -np.inf
    padded = [
        np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=padding)
        if part.shape[1] < width
        else part
        for part in column
    ]
    return np.concatenate(padded)
