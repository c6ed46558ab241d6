import base64
import json

import numpy as np
import pytest
from wire_transcripts import VERSIONS, response_body, transcript

from pytest_gptoss.client.pooling import hidden_body, states_from_bytes, states_from_json
from pytest_gptoss.model.errors import DialectError

IDS = (976, 4853, 19705, 68347)


def recorded_bytes(version):
    """Headers and body of the ``bytes`` answer; its whole body stands, as base64, in another record."""
    response = transcript(version, "pooling_bytes")["response"]
    body = base64.b64decode(response_body(version, "pooling_base64")["data"][0]["data"])
    assert len(body) == response["body_length"]
    assert body.startswith(base64.b64decode(response["body_first_64_bytes_base64"]))
    return response["headers"], body


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_bytes_and_recorded_numbers_are_the_same_states(version):
    headers, body = recorded_bytes(version)
    raw = states_from_bytes(headers, body, sequence_id="fox", token_ids=IDS)
    assert raw.states.shape == (4, 64)
    assert raw.states.dtype == np.float32
    assert (raw.sequence_id, raw.token_ids) == ("fox", IDS)
    numbers = states_from_json(
        response_body(version, "pooling_float_token_ids"), sequence_id="x", token_ids=IDS[:2]
    )
    np.testing.assert_array_equal(numbers.states, raw.states[:2])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_request_is_the_one_that_was_recorded(version):
    body = transcript(version, "pooling_bytes")["request"]["body"]
    assert hidden_body(IDS, "bytes") == {name: value for name, value in body.items() if name != "model"}


def metadata(**changes):
    item = {"embed_dtype": "float32", "endianness": "native", "shape": [2, 3], **changes}
    return {"metadata": json.dumps({"data": [{name: value for name, value in item.items() if value}]})}


def test_big_endian_numbers_are_turned():
    body = np.arange(6, dtype=">f4").tobytes()
    states = states_from_bytes(metadata(endianness="big"), body, sequence_id="x", token_ids=(1, 2)).states
    assert states.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert states.dtype == np.dtype("=f4")


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ({}, bytes(24), "lacks 'metadata'.*proxy"),
        ({"metadata": "no json"}, bytes(24), "the metadata header is 'no json'"),
        ({"metadata": '{"data": []}'}, bytes(24), "expected one matrix"),
        (metadata(shape=[6]), bytes(24), "expected one matrix.*--runner pooling"),
        (metadata(shape=None), bytes(24), "lacks 'shape'"),
        (
            metadata(embed_dtype="bfloat16"),
            bytes(12),
            "came as 'bfloat16', endianness 'native': expected float32",
        ),
        (metadata(endianness="middle"), bytes(24), "came as 'float32', endianness 'middle'"),
        (metadata(shape=[-2, -3]), bytes(24), r"shape.: .-2, -3.*expected one matrix"),
        (metadata(), bytes(20), "20 bytes came for a matrix of 2 x 3"),
        (metadata(shape=[1, 6]), bytes(24), "shape 1 x 6 came for 2 tokens: expected one vector a token"),
        (metadata(shape=[2, 0]), b"", "shape 2 x 0 came for 2 tokens"),
        (
            metadata(),
            np.array([0, 0, 0, 1, np.nan, 0], "<f4").tobytes(),
            "at position 1 is not finite .1 of 2",
        ),
        (
            metadata(),
            np.array([np.inf, 0, 0, 1, np.nan, 0], "<f4").tobytes(),
            "at position 0 is not finite .2 of 2",
        ),
    ],
)
def test_bytes_that_do_not_fit_say_how(headers, body, message):
    with pytest.raises(DialectError, match=message):
        states_from_bytes(headers, body, sequence_id="x", token_ids=(1, 2))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"data": []}, "expected one vector a token"),
        ({"data": [{"data": "AAAA"}]}, "expected one vector a token"),
        ({"data": [{"data": [[1.0], [1.0, 2.0]]}]}, "expected one vector a token"),
        ({"data": [{"data": [1.0, 2.0]}]}, "shape 2 came for 2 tokens"),
        ({"data": [{"data": [[1.0], [None]]}]}, "position 1 is not finite"),
    ],
)
def test_numbers_that_do_not_fit_say_how(answer, message):
    with pytest.raises(DialectError, match=message):
        states_from_json(answer, sequence_id="x", token_ids=(1, 2))
