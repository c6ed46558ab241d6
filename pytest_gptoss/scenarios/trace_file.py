"""Traces: files that say when each request came and how many tokens it had.

A trace is a file of JSON lines or a CSV file with a head. Three sets of columns are recognised by their
names: those of the published Mooncake traces (milliseconds), those of the published Azure LLM inference
traces (date and time, or seconds), and our own (seconds, or date and time). Other columns are left aside.
The first request comes at once, the others as long after it as the file says. A file is read line by line
and no further than needed.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from calendar import timegm
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.gptoss import CONTEXT

__all__ = ["FORMATS", "TraceFormat", "TracePart", "TraceRequest", "read_trace"]

NS_PER_S = 10**9
_LONGEST_LINE = 2**20
_BOM = b"\xef\xbb\xbf"
MOST_PROMPT_TOKENS = 20_000_000
"""All prompts of a level lie in memory before its first request is sent: some 15 bytes a token."""


@dataclass(frozen=True, slots=True)
class TraceFormat:
    """The names of three columns; ``ns_per_unit`` of a time that is a number."""

    name: str
    time: str
    prompt: str
    output: str
    ns_per_unit: int

    def __str__(self) -> str:
        return f"{self.time}, {self.prompt}, {self.output} ({self.name})"


FORMATS = (
    TraceFormat("Mooncake", "timestamp", "input_length", "output_length", NS_PER_S // 1000),
    TraceFormat("Azure", "TIMESTAMP", "ContextTokens", "GeneratedTokens", NS_PER_S),
    TraceFormat("ours", "time", "prompt_tokens", "output_tokens", NS_PER_S),
)


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """One request: nanoseconds after the trace's first one, and its tokens."""

    at_ns: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class TracePart:
    """The requests of a trace that are used, and the SHA-256 of their lines."""

    requests: tuple[TraceRequest, ...]
    sha256: str


def read_trace(
    path: Path,
    *,
    speed: float = 1.0,
    most: int | None = None,
    duration_s: float | None = None,
    option: str = "--gptoss-trace",
) -> TracePart:
    """Read the first ``most`` requests of a trace, and of those what comes within ``duration_s``.

    ``speed`` 2 lets them come twice as fast. Raises UsageError that names the file and the line.
    """
    found: list[TraceRequest] = []
    digest = hashlib.sha256()
    tokens = 0
    try:
        with path.open("rb") as file:
            for where, line, each in _requests(file, f"{option} {path}"):
                at = TraceRequest(round(each.at_ns / speed), each.prompt_tokens, each.output_tokens)
                if duration_s is not None and at.at_ns > duration_s * NS_PER_S:
                    _refuse_short(where, at, duration_s, alone=len(found) == 1)
                    break
                tokens += at.prompt_tokens
                _refuse_large(where, tokens, len(found))
                digest.update(line)
                found.append(at)
                if len(found) == most:
                    break
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror or error}") from None
    if not found:
        raise UsageError(f"{option} {path}: it holds no request: {_ways()}")
    return TracePart(tuple(found), digest.hexdigest())


def _requests(file: BinaryIO, name: str) -> Iterator[tuple[str, bytes, TraceRequest]]:
    """Each request with its place and its line."""
    head: list[str] | None = None
    form: TraceFormat | None = None
    first_ns = last_ns = None
    for number, line, text in _lines(file, name):
        where = f"{name}:{number}"
        if form is None and not text.startswith("{"):
            head = _cells(text, where)
            form = _format_of(head, where)
            continue
        row = _json_row(text, where) if head is None else _csv_row(head, text, where)
        form = form or _format_of(list(row), where)
        at_ns = _time_ns(_value(row, form.time, where), form, where)
        if last_ns is not None and at_ns < last_ns:
            raise UsageError(
                f"{where}: {form.time} is {row[form.time]!r:.40}, before that of the request above it: "
                "sort the file by time"
            )
        last_ns = at_ns
        first_ns = at_ns if first_ns is None else first_ns
        prompt, output = (_tokens(row, key, where) for key in (form.prompt, form.output))
        if prompt + output > CONTEXT:
            raise UsageError(
                f"{where}: {form.prompt} {prompt} and {form.output} {output} are more than the model's "
                f"context of {CONTEXT} tokens: leave the request out"
            )
        yield where, line, TraceRequest(at_ns - first_ns, prompt, output)


def _lines(file: BinaryIO, name: str) -> Iterator[tuple[int, bytes, str]]:
    """The lines that are not empty, each with its number and as text."""
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise UsageError(f"{name}:{number}: a line of more than {_LONGEST_LINE} bytes: {_ways()}")
        try:
            text = line.removeprefix(_BOM if number == 1 else b"").decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise UsageError(f"{name}:{number}: not UTF-8 ({error.reason}): {_ways()}") from None
        if text:
            yield number, line, text


def _json_row(text: str, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{where}: not JSON ({error}): one object a line, or a CSV file with a head"
        ) from None
    if not isinstance(row, dict):
        raise UsageError(f"{where}: {text[:40]!r} is no JSON object: {_ways()}")
    return row


def _csv_row(head: list[str], text: str, where: str) -> Mapping[str, Any]:
    cells = _cells(text, where)
    if len(cells) != len(head):
        raise UsageError(f"{where}: {len(cells)} columns below a head of {len(head)}: correct the line")
    return dict(zip(head, cells, strict=True))


def _cells(text: str, where: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([text]))]
    except (csv.Error, StopIteration) as error:
        raise UsageError(f"{where}: not CSV ({error}): {_ways()}") from None


def _format_of(columns: list[str], where: str) -> TraceFormat:
    for form in FORMATS:
        if {form.time, form.prompt, form.output} <= set(columns):
            return form
    raise UsageError(f"{where}: its columns are {', '.join(map(repr, columns))[:200]}: {_ways()}")


def _ways() -> str:
    return "a trace is a CSV file with a head, or one JSON object a line, with the columns " + ", or ".join(
        map(str, FORMATS)
    )


def _value(row: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in row:
        raise UsageError(f"{where}: {key} is missing, which the first request has: add it")
    return row[key]


def _tokens(row: Mapping[str, Any], key: str, where: str) -> int:
    value = _value(row, key, where)
    number = _number(value)
    if number is None or number != int(number) or not 1 <= number <= CONTEXT:
        raise UsageError(
            f"{where}: {key} is {value!r:.40}: it takes a whole number from 1 to {CONTEXT}, the model's "
            "context; leave the request out"
        )
    return int(number)


def _time_ns(value: Any, form: TraceFormat, where: str) -> int:
    number = _number(value)
    if number is not None and 0 <= number * form.ns_per_unit < 1e19:
        return round(number * form.ns_per_unit)
    moment = _moment_ns(value) if isinstance(value, str) else None
    if moment is None:
        unit = "milliseconds" if form.ns_per_unit < NS_PER_S else "seconds"
        raise UsageError(
            f"{where}: {form.time} is {value!r:.40}: it takes {unit} from 0 on, or a date and time such as "
            "2023-11-16 18:17:03.98"
        )
    return moment


def _number(value: Any) -> float | None:
    """The finite number that a cell is; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(?:Z|\s?([+-])(\d\d):?(\d\d))?"
)


def _moment_ns(text: str) -> int | None:
    """Nanoseconds since 1970 of a date and time; without a zone it counts as UTC. None for other text."""
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        return None
    day, clock, fraction, sign, hours, minutes = found.groups()
    try:
        seconds = timegm(datetime.fromisoformat(f"{day} {clock}").timetuple())
    except ValueError:
        return None
    offset = (int(hours) * 3600 + int(minutes) * 60) * (-1 if sign == "-" else 1) if sign else 0
    return (seconds - offset) * NS_PER_S + int((fraction or "0").ljust(9, "0"))


def _refuse_short(where: str, late: TraceRequest, duration_s: float, *, alone: bool) -> None:
    """Raise UsageError where all requests but the first one come beyond the duration."""
    if alone:
        raise UsageError(
            f"{where}: the second request comes {late.at_ns / NS_PER_S:g} s after the first, beyond "
            f"--gptoss-duration {duration_s:g}: raise it, or play faster with --gptoss-trace-speed"
        )


def _refuse_large(where: str, tokens: int, before: int) -> None:
    if tokens > MOST_PROMPT_TOKENS:
        raise UsageError(
            f"{where}: the prompts so far have more than {MOST_PROMPT_TOKENS:,} tokens, which are kept in "
            f"memory: use fewer with --gptoss-num-requests {before}, or with --gptoss-duration"
        )
