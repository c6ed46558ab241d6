"""Packed bodies come out whole, however they are cut and however long they grow."""

import gzip
import zlib

import pytest

from pytest_gptoss.client.content_decoding import PIECE_BYTES, ContentDecoder
from pytest_gptoss.model.errors import DialectError

PACKINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    " GZIP ": gzip.compress,
    "": bytes,
    "identity": bytes,
}


@pytest.mark.parametrize("coding", PACKINGS)
@pytest.mark.parametrize("step", [1, 3, 10**9])
@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 3 * PIECE_BYTES])
def test_a_body_comes_out_whole(coding, step, size):
    body = b"token " * (size // 6) + b"x" * (size % 6)
    packed = PACKINGS[coding](body)
    if step == 1 and len(packed) > 2**12:
        step = 1000
    decoder = ContentDecoder(coding)
    parts = [packed[at : at + step] for at in range(0, len(packed), step)]
    assert b"".join(piece for part in parts for piece in decoder.feed(part)) == body


def test_pieces_are_bounded():
    pieces = list(ContentDecoder("gzip").feed(gzip.compress(bytes(10 * PIECE_BYTES))))
    assert {len(piece) for piece in pieces} == {PIECE_BYTES}


def test_what_comes_is_given_at_once():
    packer, decoder = zlib.compressobj(), ContentDecoder("deflate")
    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        packed = packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)
        assert b"".join(decoder.feed(packed)) == event


def test_a_body_of_several_gzip_files_and_padding_is_one_body():
    packed = gzip.compress(b"one ") + gzip.compress(b"two") + bytes(16)
    for step in (1, 7, 1000):
        decoder = ContentDecoder("gzip")
        parts = [packed[at : at + step] for at in range(0, len(packed), step)]
        assert b"".join(piece for part in parts for piece in decoder.feed(part)) == b"one two"


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br", "compress"])
def test_a_coding_that_cannot_be_read_is_named(coding):
    with pytest.raises(DialectError, match=f"comes packed as '{coding}'.*turn its compression off"):
        ContentDecoder(coding)


def test_a_body_that_is_not_packed_as_it_says_is_told():
    with pytest.raises(DialectError, match="is not packed as deflate, as it says"):
        list(ContentDecoder("deflate").feed(b"data: 1\n\n"))
