"""Recorded hidden states: what is written is what is read, and another corpus is refused."""

import json

import numpy as np
import pytest

from pytest_gptoss.model.errors import MeasurementError
from pytest_gptoss.model.results import HiddenStates, RecoveredStates, StateFit
from pytest_gptoss.scenarios.hidden_file import read_hidden, write_hidden

FACTS = {"corpus_sha256": "a" * 64, "server_version": "0.32.0"}


def _items():
    rng = np.random.default_rng(1)
    return [
        HiddenStates(name, tuple(range(n)), rng.normal(size=(n, 4)).astype(np.float32))
        for name, n in (("first", 3), ("second", 5))
    ]


def test_round_trip(tmp_path):
    path = tmp_path / "states.npz"
    write_hidden(path, _items(), FACTS)
    read = read_hidden(path, scenario_id="hidden-npu", device="npu", corpus_sha256="a" * 64)
    for before, after in zip(_items(), read.items, strict=True):
        assert (after.sequence_id, after.token_ids) == (before.sequence_id, before.token_ids)
        np.testing.assert_array_equal(after.states, before.states)
    assert read.provenance["server_version"] == "0.32.0"
    server = read.provenance["server"]
    assert (server["place"], server["after"][0]["version"]) == (path.name, "0.32.0")


def test_another_corpus_is_refused(tmp_path):
    path = tmp_path / "states.npz"
    write_hidden(path, _items(), FACTS)
    with pytest.raises(MeasurementError, match=r"states.npz: recorded from corpus aaaa"):
        read_hidden(path, scenario_id="hidden-npu", device="npu", corpus_sha256="b" * 64)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04broken"])
def test_something_else_is_refused_with_the_way_out(tmp_path, content):
    path = tmp_path / "states.npz"
    path.write_bytes(content)
    with pytest.raises(MeasurementError, match="pytest-gptoss hidden"):
        read_hidden(path, scenario_id="hidden-npu", device="npu", corpus_sha256="a" * 64)


def _recovered(name="first", positions=(1, 4)):
    rng = np.random.default_rng(2)
    states = rng.normal(size=(len(positions), 4)).astype(np.float32)
    return RecoveredStates(
        name,
        tuple(range(6)),
        states,
        tuple(StateFit(each, 4096, *rng.uniform(size=10)) for each in positions),
    )


def test_recovered_states_come_back_with_their_positions(tmp_path):
    path = tmp_path / "states.npz"
    items = [_recovered(), _recovered("second", (2,))]
    write_hidden(path, items, FACTS)
    read = read_hidden(path, scenario_id="hidden-npu", device="npu", corpus_sha256="a" * 64)
    assert "fits" not in read.provenance
    for before, after in zip(items, read.items, strict=True):
        assert isinstance(after, RecoveredStates)
        assert (after.sequence_id, after.token_ids) == (before.sequence_id, before.token_ids)
        assert after.fits == before.fits
        np.testing.assert_array_equal(after.states, before.states)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda fits: [fits[0][::-1]], "positions that do not rise from 0 to 5"),
        (
            lambda fits: [[fits[0][0], {**fits[0][1], "position": 6}]],
            "positions that do not rise from 0 to 5",
        ),
        (lambda fits: [fits[0][:1]], "states and 6 token ids"),
        (lambda fits: [], "1 sequence ids for fits of 0"),
        (lambda fits: [[{**fits[0][0], "residual": "x"}, fits[0][1]]], "residual"),
        (lambda fits: "x", "where a list belongs"),
    ],
)
def test_a_damaged_file_of_recovered_states_is_refused(tmp_path, change, said):
    path = tmp_path / "states.npz"
    write_hidden(path, [_recovered()], FACTS)
    with np.load(path) as archive:
        arrays = dict(archive)
    facts = json.loads(str(arrays["facts"]))
    np.savez(path, **{**arrays, "facts": np.array(json.dumps({**facts, "fits": change(facts["fits"])}))})
    with pytest.raises(MeasurementError, match=said):
        read_hidden(path, scenario_id="hidden-npu", device="npu", corpus_sha256="a" * 64)
