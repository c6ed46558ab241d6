"""HTTP/1.1 framing for load: heads, chunks, and where an answer ends, however the bytes are cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.client.load.exchange import MAX_BODY_BYTES, Exchange
from pytest_gptoss.client.load.framing import MAX_HEAD_BYTES, Dechunker, FramingError, read_head

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def chunked(*parts, trailer=b""):
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailer + b"\r\n"


def cut(raw, places):
    marks = [0, *sorted(places), len(raw)]
    return [raw[a:b] for a, b in itertools.pairwise(marks) if a < b]


def exchange(method="POST"):
    return Exchange(method, 0, over=None)


def feed(answer, piece, *, times):
    for _ in range(times):
        answer.add(0, piece)


def body_of(answer):
    dechunker = Dechunker()
    framed = b"".join(answer.pieces)
    return dechunker.feed(framed) if answer.head.chunked else framed


event_bytes = st.lists(
    st.sampled_from([b"data: 0", b"0", b"\r\n", b"\n", b"\r\n\r\n", b"x", b": p"]), max_size=6
)
parts = st.lists(event_bytes.map(b"".join).filter(len), max_size=6)
# In a body, a line "0" and an empty one look like a last chunk; only there may the end be seen early.
lookalike = b"\r\n0\r\n\r\n"


@given(parts, st.sampled_from([b"", b"x-sum: 1\r\n"]), st.data())
def test_chunks_come_apart_however_they_are_cut(bodies, trailer, data):
    raw = chunked(*bodies, trailer=trailer)
    dechunker = Dechunker()
    got = [dechunker.feed(each) for each in cut(raw, data.draw(st.lists(st.integers(0, len(raw)))))]
    assert b"".join(got) == b"".join(bodies)
    assert dechunker.ended


@given(parts.filter(lambda bodies: all(lookalike not in b"\r\n" + each for each in bodies)),
       st.sampled_from([b"", b"x-sum: 1\r\n"]), st.booleans(), st.data())  # fmt: skip
def test_an_answer_ends_with_its_last_byte_and_not_before(bodies, trailer, informed, data):
    raw = (CONTINUE if informed else b"") + HEAD + chunked(*bodies, trailer=trailer)
    pieces = cut(raw, data.draw(st.lists(st.integers(0, len(raw)))))
    answer = exchange()
    ended = [answer.add(stamp, piece) for stamp, piece in enumerate(pieces)]
    assert ended == [False] * (len(pieces) - 1) + [True]
    assert body_of(answer) == b"".join(bodies)
    assert len(answer.stamps) == len(answer.pieces)
    assert answer.reusable


@given(st.binary(max_size=40), st.data())
def test_a_content_length_ends_an_answer(body, data):
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    pieces = cut(raw, data.draw(st.lists(st.integers(0, len(raw)))))
    answer = exchange()
    assert [answer.add(0, piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert body_of(answer) == body


def test_bytes_after_the_end_make_a_connection_unusable():
    answer = exchange()
    assert answer.add(0, b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxy")
    assert not answer.reusable


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: Close", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive", True),
        (b"HTTP/1.1 200 OK", False),
        (b"HTTP/1.1 204 No Content", True),
    ],
)
def test_whether_a_connection_is_kept(head, keeps):
    assert read_head(head, "GET").keep_alive is keeps


def test_no_body_follows_the_answer_to_head():
    assert read_head(b"HTTP/1.1 200 OK\r\ncontent-length: 10", "HEAD").length == 0


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"SSH-2.0-OpenSSH", "no HTTP/1.1"),
        (b"HTTP/2 200", "no HTTP/1.1"),
        (b"HTTP/1.1 2x0 OK", "no HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nno colon here", "a name and a colon"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2", "one number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1", "one number"),
    ],
)
def test_what_is_no_http_is_refused(raw, words):
    with pytest.raises(FramingError, match=words):
        read_head(raw, "GET")


@pytest.mark.parametrize("size", [b"zz", b"", b"-1", b"f" * 20])
def test_a_chunk_needs_a_size(size):
    with pytest.raises(FramingError, match="hexadecimal"):
        Dechunker().feed(size + b"\r\n")


def test_a_size_line_has_an_end():
    with pytest.raises(FramingError, match="longer than"):
        Dechunker().feed(b"1" * 10_000)


def test_headers_without_end_are_cut_off():
    answer = exchange()
    assert not answer.add(0, b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(FramingError, match=f"longer than {MAX_HEAD_BYTES}"):
        feed(answer, b"x-more: " + b"x" * 1000 + b"\r\n", times=100)


def test_a_body_without_end_is_cut_off():
    answer = exchange()
    answer.add(0, HEAD)
    part = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with pytest.raises(FramingError, match=f"longer than {MAX_BODY_BYTES}"):
        feed(answer, part, times=300)


def test_each_read_keeps_its_own_stamp():
    answer = exchange()
    answer.add(1, HEAD[:30])
    answer.add(2, HEAD[30:] + b"1\r\na\r\n")
    answer.add(3, b"1\r\nb\r\n")
    assert (list(answer.stamps), answer.pieces) == ([2, 3], [b"1\r\na\r\n", b"1\r\nb\r\n"])
    assert answer.last_ns == 3
