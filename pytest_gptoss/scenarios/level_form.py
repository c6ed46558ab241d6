"""How a load level is stored: the requests are rows of columns, as are their events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from pytest_gptoss.model.finite import finite_only
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.results import CountedBy, Failure, LoadLevel, LoopHealth, RequestTiming
from pytest_gptoss.model.stored_json import Mismatch, typed
from pytest_gptoss.scenarios.item_forms import Array, Columns, Parts, needed

__all__ = ["LevelForm"]

NOT_THERE = -1
"""Stands for None in a column of whole numbers that are never negative."""

_COLUMNS: Columns = {
    "requests": (np.integer, 2),
    "events": (np.integer, 1),
    "token_ns": (np.integer, 1),
    "tokens": (np.integer, 1),
}
_ID_COLUMNS: Columns = {
    "ids": (np.integer, 2),
    "prompt_ids": (np.integer, 1),
    "output_ids": (np.integer, 1),
}
"""How many ids each request has of its prompt and of its answer, and the ids; older files lack them."""
_OF_IDS = ("prompt_ids", "output_ids")
Ids: TypeAlias = "tuple[int, ...] | None"
_REQUEST_COLUMNS = (
    "start_ns",
    "sent_ns",
    "first_text_ns",
    "end_ns",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
)
_ASKED = ("asked_prompt", "asked_output")
_OPEN_COLUMNS = (*_REQUEST_COLUMNS, "intended_ns", *_ASKED)
"""Behind what each request has, what those of an open level have besides; older files lack it."""
_WIDTHS = (len(_REQUEST_COLUMNS), len(_OPEN_COLUMNS))


def _fields(level: LoadLevel) -> dict[str, Json]:
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


def _parts(level: LoadLevel) -> Parts:
    requests = level.requests
    table = [_row(each) for each in requests]
    return {
        "requests": np.array(table, dtype=np.int64).reshape(len(requests), len(_OPEN_COLUMNS)),
        "events": np.array([len(each.token_ns) for each in requests], dtype=np.int64),
        "token_ns": np.array([stamp for each in requests for stamp in each.token_ns], dtype=np.int64),
        "tokens": np.array([count for each in requests for count in each.tokens], dtype=np.int32),
        **_id_parts(requests),
    }


def _row(request: RequestTiming) -> list[int]:
    figures = [getattr(request, name) for name in _REQUEST_COLUMNS]
    return [*map(_or_not_there, (*figures, request.intended_ns, *(request.asked or (None, None))))]


def _id_parts(requests: Sequence[RequestTiming]) -> Parts:
    found = [[getattr(each, name) for each in requests] for name in _OF_IDS]
    counts = [[NOT_THERE if ids is None else len(ids) for ids in column] for column in found]
    flat = [[token for ids in column for token in ids or ()] for column in found]
    return {
        "ids": np.array(counts, dtype=np.int64).T.reshape(len(requests), len(_OF_IDS)),
        **{name: np.array(ids, dtype=np.int32) for name, ids in zip(_OF_IDS, flat, strict=True)},
    }


def _ids_of(parts: Parts, requests: int) -> list[tuple[Ids, ...]]:
    """The ids of each request's prompt and answer, None where the file has none; raises Mismatch."""
    if not any(name in parts for name in _ID_COLUMNS):
        return [(None,) * len(_OF_IDS)] * requests
    counts = needed(parts, "ids")
    if counts.shape != (requests, len(_OF_IDS)) or (counts < NOT_THERE).any():
        raise Mismatch(f"{list(counts.shape)} counts of ids for {requests} requests", ".lengths.ids")
    columns = [_cut(needed(parts, name), counts[:, at], name) for at, name in enumerate(_OF_IDS)]
    return list(zip(*columns, strict=True))


def _cut(ids: Array, counts: Array, name: str) -> list[Ids]:
    """A column's ids, request by request."""
    ends = np.cumsum(np.maximum(counts, 0)).tolist()
    if (ids < 0).any() or (ends[-1] if ends else 0) != len(ids):
        raise Mismatch(f"{len(ids)} ids that are not those of the requests", f".lengths.{name}")
    told, counted = ids.tolist(), counts.tolist()
    return [
        None if count == NOT_THERE else tuple(told[end - count : end])
        for count, end in zip(counted, ends, strict=True)
    ]


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
    counted_by: tuple[CountedBy | None, ...]
    errors: Mapping[str, Failure]


def _refuse_unequal(level: _StoredLevel, table: Array, events: Array) -> None:
    """Raise Mismatch where not every request has its figures, or an error has no request."""
    columns = (level.ids, level.finish_reasons, level.counted_by, table, events)
    if len(set(map(len, columns))) > 1 or table.shape[1] not in _WIDTHS:
        raise Mismatch(f"{list(table.shape)} figures for {len(level.ids)} requests", ".ids")
    for number in level.errors:
        if number not in map(str, range(len(level.ids))):
            raise Mismatch("there is no such request", f".errors.{number[:40]}")


def _level(fields: Mapping[str, Json], parts: Parts) -> LoadLevel:
    level: _StoredLevel = typed(_StoredLevel, dict(fields))
    table, events, token_ns, tokens = (needed(parts, name) for name in _COLUMNS)
    _refuse_unequal(level, table, events)
    if (events < 0).any() or not int(events.sum()) == len(token_ns) == len(tokens):
        raise Mismatch(
            f"{len(token_ns)} stamps and {len(tokens)} counts, not those of the events", ".lengths"
        )
    ends = np.cumsum(events).tolist()
    ids = _ids_of(parts, len(level.ids))
    requests = []
    for index, (row, end) in enumerate(zip(table.tolist(), ends, strict=True)):
        columns = dict(zip(_OPEN_COLUMNS, map(_or_none, row)))  # noqa: B905 - an older file has fewer
        if columns["start_ns"] is None or columns["end_ns"] is None:
            raise Mismatch("a request without start or end", f".ids[{index}]")
        of_request = slice(end - int(events[index]), end)
        requests.append(
            RequestTiming(
                id=level.ids[index],
                token_ns=tuple(token_ns[of_request].tolist()),
                tokens=tuple(tokens[of_request].tolist()),
                finish_reason=level.finish_reasons[index],
                counted_by=level.counted_by[index],
                error=level.errors.get(str(index)),
                prompt_ids=ids[index][0],
                output_ids=ids[index][1],
                asked=_asked(columns),
                **{name: found for name, found in columns.items() if name not in _ASKED},
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


def _asked(columns: Mapping[str, int | None]) -> tuple[int, int] | None:
    prompt, output = (columns.get(name) for name in _ASKED)
    return None if prompt is None or output is None else (prompt, output)


def _or_not_there(value: int | None) -> int:
    return NOT_THERE if value is None else value


def _or_none(value: int) -> Any:
    return None if value == NOT_THERE else value


class LevelForm:
    """The form of ``LoadLevel``."""

    @property
    def columns(self) -> Columns:
        """A row for each request, a number for each of their events, and their token ids."""
        return {**_COLUMNS, **_ID_COLUMNS}

    def fields(self, item: LoadLevel) -> dict[str, Json]:
        """All but the requests' figures."""
        return _fields(item)

    def parts(self, item: LoadLevel) -> Parts:
        """The requests' figures."""
        return _parts(item)

    def build(self, stored: Mapping[str, Json], parts: Parts) -> LoadLevel:
        """Make the level; raises Mismatch."""
        return _level(stored, parts)
