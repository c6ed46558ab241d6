"""Traces: the published columns are known, what is wrong names its line, and no more is read than needed."""

import json

import pytest

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.scenarios import trace_file
from pytest_gptoss.scenarios.trace_file import TraceRequest, read_trace

MS, S = 10**6, 10**9
MOONCAKE = [
    {"timestamp": 1500, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, 2]},
    {"timestamp": 1500, "input_length": 7322, "output_length": 490, "hash_ids": [0]},
    {"timestamp": 4500.5, "input_length": 9, "output_length": 1, "hash_ids": []},
]
AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2023-11-16 18:17:03.9799600,4808,10\n"
    "2023-11-16 18:17:04.0319600,3180,8\n"
    "2023-11-17 00:00:00,110,27\n"
)


@pytest.fixture
def trace(tmp_path):
    """Read a trace with this text."""
    path = tmp_path / "trace.csv"

    def read(text, **fields):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_trace(path, **fields)

    return read


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def times(part):
    return [each.at_ns for each in part.requests]


def test_a_mooncake_trace_is_in_milliseconds(trace):
    assert trace(lines(MOONCAKE)).requests == (
        TraceRequest(0, 6758, 500), TraceRequest(0, 7322, 490), TraceRequest(3000 * MS + MS // 2, 9, 1),
    )  # fmt: skip


def test_an_azure_trace_has_dates_or_seconds(trace):
    assert trace(AZURE).requests[:2] == (TraceRequest(0, 4808, 10), TraceRequest(52 * MS, 3180, 8))
    assert times(trace(AZURE))[2] == (5 * 3600 + 42 * 60 + 56) * S + 20_040_000
    numbers = trace("TIMESTAMP,ContextTokens,GeneratedTokens\n0.5,7,8\n2,7,8\n")
    assert times(numbers) == [0, 3 * S // 2]
    zones = "2024-05-10 00:00:00.009930+00:00", "2024-05-10T02:00:00.5+02:00", "2024-05-10 00:00:01Z"
    rows = "".join(f"{each},7,8\n" for each in zones)
    assert times(trace(f"TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}")) == [0, 490_070_000, 990_070_000]


def test_a_trace_of_ones_own_may_be_csv_or_json_lines(trace):
    csv = trace('\ufeffuser, time ,prompt_tokens,output_tokens\r\n\r\na,1,20,30\r\n"b,c",2.5,40,50\r\n')
    assert csv.requests == (TraceRequest(0, 20, 30), TraceRequest(3 * S // 2, 40, 50))
    names = ("time", "prompt_tokens", "output_tokens")
    rows = [dict(zip(names, row, strict=True)) for row in ((1, 20, 30), (2.5, 40, 50))]
    assert trace(lines(rows)).requests == csv.requests


def test_a_trace_is_played_faster_and_as_far_as_is_wanted(trace):
    text = lines({**MOONCAKE[0], "timestamp": 1000 * place} for place in range(50))
    assert times(trace(text, speed=4.0, most=3)) == [0, S // 4, S // 2]
    assert len(trace(text, duration_s=10).requests) == 11
    assert len(trace(text, duration_s=10, speed=2.0).requests) == 21
    assert len(trace(text, duration_s=10, most=5).requests) == 5
    # What is not used is not read.
    assert len(trace(text + "no line of a trace", most=50).requests) == 50


def test_the_hash_is_over_what_is_used(trace):
    text = lines(MOONCAKE)
    two = trace(text, most=2)
    assert two.sha256 == trace(lines(MOONCAKE[:2])).sha256 == trace(text, duration_s=2).sha256
    assert two.sha256 != trace(text).sha256
    assert two.sha256 != trace(lines([MOONCAKE[0], MOONCAKE[0]])).sha256


HEAD = "time,prompt_tokens,output_tokens\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "trace.csv: it holds no request: a trace is a CSV file with a head, or one JSON object a line"),
        (HEAD, "trace.csv: it holds no request"),
        ("when,in,out\n1,2,3\n", "trace.csv:1: its columns are 'when', 'in', 'out': a trace is"),
        ('{"when": 1}\n', "trace.csv:1: its columns are 'when': a trace is .* timestamp, input_length"),
        (HEAD + "1,20,30\n0.5,20,30\n", "trace.csv:3: time is '0.5', before .* sort the file by time"),
        (lines(reversed(MOONCAKE)), "trace.csv:2: timestamp is 1500, before that of the request above it"),
        (HEAD + "1,0,30\n", "trace.csv:2: prompt_tokens is '0': it takes a whole number from 1 to 131072"),
        (HEAD + "1,20,0\n", "trace.csv:2: output_tokens is '0'"),
        (HEAD + "1,20,nan\n", "trace.csv:2: output_tokens is 'nan'"),
        (HEAD + "1,20,1.5\n", "trace.csv:2: output_tokens is '1.5'"),
        (HEAD + "1,-3,5\n", "trace.csv:2: prompt_tokens is '-3'"),
        (HEAD + "1,131073,1\n", "trace.csv:2: prompt_tokens is '131073'.* leave the request out"),
        (HEAD + "1,131072,1\n", "trace.csv:2: prompt_tokens 131072 and output_tokens 1 are more than"),
        (HEAD + "soon,1,1\n", "trace.csv:2: time is 'soon': it takes seconds from 0 on, or a date and time"),
        (HEAD + "-1,1,1\n", "trace.csv:2: time is '-1'"),
        (HEAD + "inf,1,1\n", "trace.csv:2: time is 'inf'"),
        (HEAD + "2023-02-30 00:00:00,1,1\n", "trace.csv:2: time is '2023-02-30 00:00:00'"),
        (HEAD + "1,2\n", "trace.csv:2: 2 columns below a head of 3: correct the line"),
        (lines([*MOONCAKE[:1], {"timestamp": 1600}]), "trace.csv:2: input_length is missing"),
        (lines(MOONCAKE[:1]) + "{", "trace.csv:2: not JSON"),
        (lines(MOONCAKE[:1]) + "[1]", "trace.csv:2: '\\[1\\]' is no JSON object"),
        (lines([{**MOONCAKE[0], "timestamp": True}]), "trace.csv:1: timestamp is True: it takes milli"),
        (b"\xff\xfe", "trace.csv:1: not UTF-8"),
        (b"x" * (2**20 + 1), "trace.csv:1: a line of more than 1048576 bytes"),
    ],
)  # fmt: skip
def test_what_is_no_trace_is_refused_with_its_place(trace, text, message):
    with pytest.raises(UsageError, match=message) as refused:
        trace(text)
    assert str(refused.value).startswith("--gptoss-trace ")
    assert len(str(refused.value).splitlines()) == 1


def test_requests_that_all_come_beyond_the_duration_are_refused(trace):
    with pytest.raises(
        UsageError,
        match=r":3: the second request comes 3.5 s after the first, beyond "
        "--gptoss-duration 3: raise it, or play faster with --gptoss-trace-speed",
    ):
        trace(HEAD + "1,20,30\n4.5,20,30\n", duration_s=3)
    assert len(trace(HEAD + "1,20,30\n", duration_s=3).requests) == 1
    assert len(trace(HEAD + "1,20,30\n4.5,20,30\n", duration_s=3, speed=2.0).requests) == 2


def test_more_than_memory_holds_is_refused(trace, monkeypatch):
    monkeypatch.setattr(trace_file, "MOST_PROMPT_TOKENS", 50)
    with pytest.raises(UsageError, match=r":4: .* more than 50 tokens.* --gptoss-num-requests 2"):
        trace(HEAD + "1,20,30\n" * 3)
    assert len(trace(HEAD + "1,20,30\n" * 3, most=2).requests) == 2


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"--gptoss-trace .*: Is a directory"):
        read_trace(tmp_path)
