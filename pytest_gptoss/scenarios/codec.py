"""Measurements to JSON with arrays beside it, and back.

Per-token arrays of all items are laid end to end, one array a name, and the JSON keeps each item's
length: a reader maps the file into memory and every item is a view. The requests of a load level are
columns of the same kind: a row for each request, and a row for each of their events.

Decoding trusts nothing: types, keys, column names, shapes and lengths are checked, since a file may be
damaged or somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_gptoss.model.finite import finite_only
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.results import (
    AbortTrace,
    BadRequest,
    CountedBy,
    DriftPoint,
    Failure,
    Generation,
    HiddenStates,
    LoadLevel,
    LoopHealth,
    Measurement,
    NeedleAnswer,
    RequestTiming,
    ScoredSequence,
    TopLogprobs,
)
from pytest_gptoss.model.stored_json import Mismatch, record, typed
from pytest_gptoss.model.subjects import ServerFacts

__all__ = ["Arrays", "array_names", "decode", "encode"]

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]
Parts: TypeAlias = dict[str, Array]


Build: TypeAlias = Callable[[Mapping[str, Json], Parts], Any]


@dataclass(frozen=True)
class _Form:
    """How one item class is written: its JSON fields and its per-token arrays.

    ``columns`` are the names that its arrays may have; ``build`` makes the item and raises Mismatch.
    """

    fields: Callable[[Any], dict[str, Json]]
    parts: Callable[[Any], Parts]
    columns: tuple[str, ...]
    build: Build


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
    form = _FORMS[kind]
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
    known = _form(head.kind).columns if head.kind is not None else ()
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
        _refuse_other_column(name, array)
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
    """Raise Mismatch where device or kind of the items do not belong to the scenario."""
    family, _, rest = head.scenario_id.partition("-")
    if family not in _KINDS:
        return
    if not f"{rest}-".startswith(f"{head.device}-"):
        raise Mismatch(f"{head.device[:40]!r} is not the device of {head.scenario_id[:80]}", ".device")
    kinds = _KINDS[family]
    if head.kind is not None and head.kind not in kinds:
        raise Mismatch(f"{head.kind[:40]!r} where {' or '.join(kinds)} belongs", ".kind")


def _form(kind: str | None) -> _Form:
    if kind is None or kind not in _FORMS:
        raise Mismatch(f"{kind!r} is no kind of item", ".kind")
    return _FORMS[kind]


_COLUMNS: Mapping[str, tuple[type[np.generic], int]] = {
    "logprobs": (np.floating, 1),
    "top_ids": (np.integer, 2),
    "top_logprobs": (np.floating, 2),
    "states": (np.floating, 2),
    "requests": (np.integer, 2),
    "events": (np.integer, 1),
    "token_ns": (np.integer, 1),
    "tokens": (np.integer, 1),
}
"""Every array by name: the numbers it holds and its dimensions."""


def _refuse_other_column(name: str, array: Array) -> None:
    kind, dimensions = _COLUMNS[name]
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


def _top_parts(top: TopLogprobs | None) -> Parts:
    return {} if top is None else {"top_ids": top.ids, "top_logprobs": top.logprobs}


def _top(parts: Parts) -> TopLogprobs | None:
    if "top_ids" not in parts and "top_logprobs" not in parts:
        return None
    ids, logprobs = _needed(parts, "top_ids"), _needed(parts, "top_logprobs")
    if ids.shape != logprobs.shape:
        raise Mismatch(f"{list(ids.shape)} ids with {list(logprobs.shape)} log-probabilities", ".lengths")
    return TopLogprobs(ids, logprobs)


def _needed(parts: Parts, name: str) -> Array:
    if name not in parts:
        raise Mismatch("the array is missing", f".lengths.{name}")
    return parts[name]


def _refuse_no_ids(name: str, ids: tuple[int, ...] | None) -> None:
    for index, token in enumerate(ids or ()):
        if not 0 <= token <= _LARGEST_ID:
            raise Mismatch(f"{token} is no token id", f".{name}[{index}]")


def _generation_fields(item: Generation) -> dict[str, Json]:
    return {
        "prompt_id": item.prompt_id,
        "prompt_token_ids": item.prompt_token_ids,
        "token_ids": item.token_ids,
        "reasoning": item.reasoning,
        "content": item.content,
        "tool_calls": [asdict(call) for call in item.tool_calls],
        "finish_reason": item.finish_reason,
        "prompt_tokens": item.prompt_tokens,
        "completion_tokens": item.completion_tokens,
        "words": item.words,
    }


def _generation_parts(item: Generation) -> Parts:
    logprobs: Parts = {} if item.logprobs is None else {"logprobs": item.logprobs}
    return {**logprobs, **_top_parts(item.top)}


def _generation(fields: Mapping[str, Json], parts: Parts) -> Generation:
    found: Generation = record(Generation, fields, {"logprobs": parts.get("logprobs"), "top": _top(parts)})
    _refuse_no_ids("token_ids", found.token_ids)
    _refuse_no_ids("prompt_token_ids", found.prompt_token_ids)
    return found


def _scored_fields(item: ScoredSequence) -> dict[str, Json]:
    return {"sequence_id": item.sequence_id, "token_ids": item.token_ids, "first": item.first}


def _scored(fields: Mapping[str, Json], parts: Parts) -> ScoredSequence:
    beside = {"logprobs": _needed(parts, "logprobs"), "top": _top(parts)}
    found: ScoredSequence = record(ScoredSequence, fields, beside)
    _refuse_no_ids("token_ids", found.token_ids)
    scored = len(found.token_ids) - found.first
    rows = len(_needed(parts, "top_ids"))
    if found.first < 1 or not scored == len(found.logprobs) == rows:
        raise Mismatch(
            f"{len(found.logprobs)} scores and {rows} lists for {scored} tokens from {found.first} on"
        )
    return found


def _hidden_fields(item: HiddenStates) -> dict[str, Json]:
    return {"sequence_id": item.sequence_id, "token_ids": item.token_ids}


def _hidden(fields: Mapping[str, Json], parts: Parts) -> HiddenStates:
    found: HiddenStates = record(HiddenStates, fields, {"states": _needed(parts, "states")})
    _refuse_no_ids("token_ids", found.token_ids)
    if len(found.states) != len(found.token_ids):
        raise Mismatch(f"{len(found.states)} states for {len(found.token_ids)} tokens")
    return found


def _plain(kind: type[Any]) -> _Form:
    """The form of a class whose fields are all JSON."""
    return _Form(asdict, lambda _: {}, (), lambda fields, _: typed(kind, dict(fields)))


NOT_THERE = -1
"""Stands for None in a column of whole numbers that are never negative."""
_LARGEST_ID = 2**31 - 1
"""Token ids are int32 wherever they stand in arrays."""
_LOAD_COLUMNS = ("requests", "events", "token_ns", "tokens")

_REQUEST_COLUMNS = (
    "start_ns",
    "sent_ns",
    "first_text_ns",
    "end_ns",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
)


def _load_fields(level: LoadLevel) -> dict[str, Json]:
    return {
        "shape": asdict(level.shape),
        "health": None if level.health is None else asdict(level.health),
        "rtt_ms": list(level.rtt_ms),
        "frame_tokens": level.frame_tokens,
        "cache_block": level.cache_block,
        "server": None if level.server is None else finite_only(level.server),
        "ids": [request.id for request in level.requests],
        "finish_reasons": [request.finish_reason for request in level.requests],
        "counted_by": [request.counted_by for request in level.requests],
        "errors": {
            str(index): asdict(request.error)
            for index, request in enumerate(level.requests)
            if request.error is not None
        },
    }


def _load_parts(level: LoadLevel) -> Parts:
    requests = level.requests
    table = [[_or_not_there(getattr(each, name)) for name in _REQUEST_COLUMNS] for each in requests]
    return {
        "requests": np.array(table, dtype=np.int64).reshape(len(requests), len(_REQUEST_COLUMNS)),
        "events": np.array([len(each.token_ns) for each in requests], dtype=np.int64),
        "token_ns": np.array([stamp for each in requests for stamp in each.token_ns], dtype=np.int64),
        "tokens": np.array([count for each in requests for count in each.tokens], dtype=np.int32),
    }


@dataclass(frozen=True)
class _StoredLevel:
    """The JSON of a load level: all but its requests' figures, which are columns."""

    shape: LoadShape
    health: LoopHealth | None
    rtt_ms: tuple[float, ...]
    frame_tokens: int
    cache_block: int | None
    server: Mapping[str, float] | None
    ids: tuple[str, ...]
    finish_reasons: tuple[str | None, ...]
    errors: Mapping[str, Failure]
    counted_by: tuple[CountedBy | None, ...] | None = None
    """None in runs of earlier versions."""


def _load(fields: Mapping[str, Json], parts: Parts) -> LoadLevel:
    level: _StoredLevel = typed(_StoredLevel, dict(fields))
    table, events, token_ns, tokens = (_needed(parts, name) for name in _LOAD_COLUMNS)
    counts = {len(level.ids), len(level.finish_reasons), len(table), len(events)}
    if len(counts) > 1 or table.shape[1] != len(_REQUEST_COLUMNS):
        raise Mismatch(f"{list(table.shape)} figures for {len(level.ids)} requests", ".ids")
    if (events < 0).any() or not int(events.sum()) == len(token_ns) == len(tokens):
        raise Mismatch(
            f"{len(token_ns)} stamps and {len(tokens)} counts, not those of the events", ".lengths"
        )
    for number in level.errors:
        if number not in map(str, range(len(level.ids))):
            raise Mismatch("there is no such request", f".errors.{number[:40]}")
    counted_by = level.counted_by or (None,) * len(level.ids)
    if len(counted_by) != len(level.ids):
        raise Mismatch(f"{len(counted_by)} for {len(level.ids)} requests", ".counted_by")
    ends = np.cumsum(events).tolist()
    requests = []
    for index, (row, end) in enumerate(zip(table.tolist(), ends, strict=True)):
        columns = dict(zip(_REQUEST_COLUMNS, map(_or_none, row), strict=True))
        if columns["start_ns"] is None or columns["end_ns"] is None:
            raise Mismatch("a request without start or end", f".ids[{index}]")
        of_request = slice(end - int(events[index]), end)
        requests.append(
            RequestTiming(
                id=level.ids[index],
                token_ns=tuple(token_ns[of_request].tolist()),
                tokens=tuple(tokens[of_request].tolist()),
                finish_reason=level.finish_reasons[index],
                counted_by=counted_by[index],
                error=level.errors.get(str(index)),
                **columns,
            )
        )
    return LoadLevel(
        shape=level.shape,
        requests=tuple(requests),
        health=level.health,
        rtt_ms=level.rtt_ms,
        frame_tokens=level.frame_tokens,
        cache_block=level.cache_block,
        server=level.server,
    )


def _or_not_there(value: int | None) -> int:
    return NOT_THERE if value is None else value


def _or_none(value: int) -> Any:
    return None if value == NOT_THERE else value


_KINDS: Mapping[str, tuple[str, ...]] = {
    "greedy": ("Generation",),
    "rendered": ("Generation",),
    "forced": ("ScoredSequence",),
    "hidden": ("HiddenStates",),
    "needle": ("NeedleAnswer",),
    "drift": ("DriftPoint",),
    "load": ("LoadLevel",),
    "preflight": ("ServerFacts",),
    "feature": ("Generation", "AbortTrace", "BadRequest"),
}
"""What a scenario's items are, by the first word of its id."""

_SCORES = ("logprobs", "top_ids", "top_logprobs")
_FORMS: Mapping[str, _Form] = {
    "Generation": _Form(_generation_fields, _generation_parts, _SCORES, _generation),
    "ScoredSequence": _Form(
        _scored_fields, lambda item: {"logprobs": item.logprobs, **_top_parts(item.top)}, _SCORES, _scored
    ),
    "HiddenStates": _Form(_hidden_fields, lambda item: {"states": item.states}, ("states",), _hidden),
    "NeedleAnswer": _plain(NeedleAnswer),
    "DriftPoint": _plain(DriftPoint),
    "LoadLevel": _Form(_load_fields, _load_parts, _LOAD_COLUMNS, _load),
    "ServerFacts": _plain(ServerFacts),
    "AbortTrace": _plain(AbortTrace),
    "BadRequest": _plain(BadRequest),
}
