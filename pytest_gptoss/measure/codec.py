"""Measurements to JSON with arrays beside it, and back.

Per-token arrays of all items are laid end to end, one array a name, and the JSON keeps each item's
length: a reader maps the file into memory and every item is a view. The requests of a load level are
columns of the same kind: a row for each request, and a row for each of their events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_gptoss.finite import finite_only
from pytest_gptoss.records import (
    AbortTrace,
    BadRequest,
    DriftPoint,
    Failure,
    Generation,
    HiddenStates,
    Json,
    KnownFact,
    LoadLevel,
    LoadShape,
    LoopHealth,
    Measurement,
    NeedleAnswer,
    RequestTiming,
    ScoredSequence,
    ServerFacts,
    ToolCall,
    TopLogprobs,
)

__all__ = ["Arrays", "decode", "encode"]

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]
Parts: TypeAlias = dict[str, Array]


@dataclass(frozen=True)
class _Form:
    """How one item class is written: its JSON fields and its per-token arrays."""

    fields: Callable[[Any], dict[str, Json]]
    parts: Callable[[Any], Parts]
    build: Callable[[Mapping[str, Json], Parts], Any]


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


def decode(document: Mapping[str, Json], arrays: Arrays) -> Measurement[Any]:
    """The measurement that ``encode`` wrote; its items view ``arrays``, nothing is copied."""
    items: list[Any] = []
    at = dict.fromkeys(arrays, 0)
    for fields in document["items"]:
        form = _FORMS[document["kind"]]
        parts: Parts = {}
        for name, length in fields["lengths"].items():
            parts[name] = arrays[name][at[name] : at[name] + length]
            at[name] += length
        items.append(form.build(fields, parts))
    return Measurement(
        scenario_id=document["scenario_id"],
        device=document["device"],
        items=tuple(items),
        failures=tuple(Failure(**failure) for failure in document["failures"]),
        left_out=document["left_out"],
        complete=document["complete"],
        started=document["started"],
        ended=document["ended"],
        provenance=document["provenance"],
    )


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
    return TopLogprobs(parts["top_ids"], parts["top_logprobs"]) if "top_ids" in parts else None


def _ids(values: list[int] | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(values)


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
    return Generation(
        prompt_id=fields["prompt_id"],
        prompt_token_ids=_ids(fields["prompt_token_ids"]),
        token_ids=_ids(fields["token_ids"]),
        reasoning=fields["reasoning"],
        content=fields["content"],
        tool_calls=tuple(ToolCall(**call) for call in fields["tool_calls"]),
        finish_reason=fields["finish_reason"],
        prompt_tokens=fields["prompt_tokens"],
        completion_tokens=fields["completion_tokens"],
        logprobs=parts.get("logprobs"),
        top=_top(parts),
        words=None if fields.get("words") is None else tuple(fields["words"]),
    )


def _scored_fields(item: ScoredSequence) -> dict[str, Json]:
    return {"sequence_id": item.sequence_id, "token_ids": item.token_ids, "first": item.first}


def _scored(fields: Mapping[str, Json], parts: Parts) -> ScoredSequence:
    return ScoredSequence(
        sequence_id=fields["sequence_id"],
        token_ids=tuple(fields["token_ids"]),
        first=fields["first"],
        logprobs=parts["logprobs"],
        top=TopLogprobs(parts["top_ids"], parts["top_logprobs"]),
    )


def _hidden_fields(item: HiddenStates) -> dict[str, Json]:
    return {"sequence_id": item.sequence_id, "token_ids": item.token_ids}


def _hidden(fields: Mapping[str, Json], parts: Parts) -> HiddenStates:
    return HiddenStates(fields["sequence_id"], tuple(fields["token_ids"]), parts["states"])


def _whole(fields: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in fields.items() if name != "lengths"}


def _plain(kind: Callable[..., Any]) -> _Form:
    """The form of a class whose fields are all JSON."""
    return _Form(asdict, lambda _: {}, lambda fields, _: kind(**_whole(fields)))


def _needle_answer(fields: Mapping[str, Json], parts: Parts) -> NeedleAnswer:
    return NeedleAnswer(**{**_whole(fields), "token_ids": _ids(fields.get("token_ids"))})


def _server_facts(fields: Mapping[str, Json], parts: Parts) -> ServerFacts:
    lists = {name: tuple(fields[name]) for name in ("addresses", "listed")}
    ids = {name: _ids(fields.get(name)) for name in ("text_ids", "greeting_ids")}
    known = tuple(KnownFact(**fact) for fact in fields["known"])
    return ServerFacts(**{**_whole(fields), **lists, **ids, "known": known})


def _abort_trace(fields: Mapping[str, Json], parts: Parts) -> AbortTrace:
    after = tuple((float(seconds), int(running)) for seconds, running in fields["after"])
    return AbortTrace(**{**_whole(fields), "after": after})


NOT_THERE = -1
"""Stands for None in a column of whole numbers that are never negative."""

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


def _load(fields: Mapping[str, Json], parts: Parts) -> LoadLevel:
    ends = np.cumsum(parts["events"]).tolist()
    counted_by = fields.get("counted_by") or [None] * len(ends)  # runs of earlier versions do not tell
    requests = []
    for index, (row, end) in enumerate(zip(parts["requests"].tolist(), ends, strict=True)):
        columns = dict(zip(_REQUEST_COLUMNS, map(_or_none, row), strict=True))
        events = slice(end - int(parts["events"][index]), end)
        error = fields["errors"].get(str(index))
        requests.append(
            RequestTiming(
                id=fields["ids"][index],
                token_ns=tuple(parts["token_ns"][events].tolist()),
                tokens=tuple(parts["tokens"][events].tolist()),
                finish_reason=fields["finish_reasons"][index],
                counted_by=counted_by[index],
                error=None if error is None else Failure(**error),
                **columns,
            )
        )
    return LoadLevel(
        shape=LoadShape(**fields["shape"]),
        requests=tuple(requests),
        health=None if fields["health"] is None else LoopHealth(**fields["health"]),
        rtt_ms=tuple(fields["rtt_ms"]),
        frame_tokens=fields["frame_tokens"],
        cache_block=fields["cache_block"],
        server=fields["server"],
    )


def _or_not_there(value: int | None) -> int:
    return NOT_THERE if value is None else value


def _or_none(value: int) -> Any:
    return None if value == NOT_THERE else value


_FORMS: Mapping[str, _Form] = {
    "Generation": _Form(_generation_fields, _generation_parts, _generation),
    "ScoredSequence": _Form(
        _scored_fields, lambda item: {"logprobs": item.logprobs, **_top_parts(item.top)}, _scored
    ),
    "HiddenStates": _Form(_hidden_fields, lambda item: {"states": item.states}, _hidden),
    "NeedleAnswer": _Form(asdict, lambda _: {}, _needle_answer),
    "DriftPoint": _plain(DriftPoint),
    "LoadLevel": _Form(_load_fields, _load_parts, _load),
    "ServerFacts": _Form(asdict, lambda _: {}, _server_facts),
    "AbortTrace": _Form(asdict, lambda _: {}, _abort_trace),
    "BadRequest": _plain(BadRequest),
}
