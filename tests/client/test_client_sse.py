from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wire_transcripts import VERSIONS, sse

from pytest_gptoss.client.sse import SseDecoder, SseEvent
from pytest_gptoss.model.errors import StreamError

LINE_ENDS = st.sampled_from(["\n", "\r", "\r\n"])
VALUES = st.text(alphabet=st.sampled_from('aZ 0:{}"é中😀\t\0'), max_size=8)
LINES = st.one_of(
    st.just(""),
    VALUES.map("data:".__add__),
    VALUES.map("data: ".__add__),
    VALUES.map(":".__add__),
    VALUES.map("event: ".__add__),
    VALUES.map("id: ".__add__),
    st.sampled_from(["data", "event", "retry: 10", "Data: x", " data: x", "x"]),
)
STREAMS = st.lists(st.tuples(LINES, LINE_ENDS), max_size=30).map(lambda rows: "".join(a + b for a, b in rows))


def decode(raw, cuts=()):
    decoder = SseDecoder()
    places = [0, *sorted(cuts), len(raw)]
    pieces = [raw[a:b] for a, b in pairwise(places)]
    return [event for piece in pieces for event in decoder.feed(piece)]


def by_the_book(text):
    """The standard's algorithm over a whole text, written without any regard for chunks."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    found, data, kind = [], "", ""
    for line in lines:
        if line == "":
            if data:
                found.append(SseEvent(kind or "message", data[:-1]))
            data, kind = "", ""
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if name == "data":
                data += value + "\n"
            elif name == "event":
                kind = value
    return found


@given(text=STREAMS, bom=st.booleans(), data=st.data())
def test_any_split_of_the_bytes_gives_the_events_of_the_standard(text, bom, data):
    raw = (("\ufeff" if bom else "") + text).encode()
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=12))
    assert decode(raw, cuts) == by_the_book(text)
    assert decode(raw, range(len(raw))) == by_the_book(text)


@given(st.binary(max_size=60))
@example(b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n")
@example(b"data: \xe4\xb8\n\n")
def test_any_bytes_decode_alike_whole_and_byte_by_byte(raw):
    assert decode(raw, range(len(raw))) == decode(raw)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_stream_decodes_byte_by_byte(version):
    raw = sse(version, "chat_stream_logprobs_token_ids")
    whole = decode(raw)
    assert len(whole) == 36
    assert whole[-1] == SseEvent("message", "[DONE]")
    assert decode(raw, range(len(raw))) == whole
    assert decode(raw.replace(b"\n", b"\r\n"), range(len(raw))) == whole


def test_several_data_lines_are_one_event_and_comments_none():
    raw = b": ping\n\nevent: error\ndata: a\ndata:\ndata:  b\n: more\n\ndata\n\nevent: lost\n\n"
    assert decode(raw) == [SseEvent("error", "a\n\n b"), SseEvent("message", "")]


def test_an_event_without_its_empty_line_is_none_yet():
    decoder = SseDecoder()
    assert decoder.feed(b"data: [DONE]\n") == []
    assert decoder.feed(b"\n") == [SseEvent("message", "[DONE]")]


@pytest.mark.parametrize(
    "piece", [b"x" * 100, b"data: " + b"y" * 94 + b"\n"], ids=["one line", "many data lines"]
)
def test_a_stream_without_ends_is_refused_before_it_fills_the_memory(piece):
    decoder = SseDecoder(max_bytes=1000)
    for _ in range(9):
        decoder.feed(piece)
    with pytest.raises(StreamError, match="more than 1000 bytes"):
        decoder.feed(piece * 2)


def test_long_streams_of_short_events_are_no_trouble():
    decoder = SseDecoder(max_bytes=100)
    assert sum(len(decoder.feed(b"data: " + b"y" * 60 + b"\n\n")) for _ in range(1000)) == 1000
