"""Hidden states: cosine by hand, in blocks, from files, and what broken states mean."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made import hidden, measurement

from pytest_gptoss.judge.metrics import hidden as module
from pytest_gptoss.judge.metrics.hidden import closeness, hidden_cosine
from pytest_gptoss.model.errors import InsufficientData


def compare(npu, gpu):
    return hidden_cosine(npu=measurement("npu", npu), gpu=measurement("gpu", gpu))


def direct(npu, gpu):
    npu, gpu = np.asarray(npu, dtype=np.float64), np.asarray(gpu, dtype=np.float64)
    return (npu * gpu).sum(axis=1) / (np.linalg.norm(npu, axis=1) * np.linalg.norm(gpu, axis=1))


def test_the_worst_sequence_is_gated():
    estimate = compare(
        [hidden("a", [[1, 0], [0, 2]]), hidden("b", [[1, 0], [0, 3], [3, 4]])],
        [hidden("a", [[1, 0], [0, 2]]), hidden("b", [[2, 0], [3, 0], [4, 3]])],
    )
    assert estimate.value == pytest.approx((1 + 0 + 24 / 25) / 3)
    assert (estimate.n, estimate.interval, estimate.unit) == (2, None, "cosine")
    details = estimate.details
    assert details["worst"] == "b"
    assert details["sequences"]["a"] == {"mean": 1.0, "min": 1.0}
    assert details["positions"] == 5
    assert details["min"] == 0
    assert details["median"] == 1
    assert details["mean"] == pytest.approx((1 + 1 + 1 + 0 + 0.96) / 5)
    assert details["relative_l2"] == pytest.approx(np.sqrt((1 + 18 + 2) / (1 + 4 + 4 + 9 + 25)))
    assert details["norm_ratio"] == pytest.approx(np.sqrt((1 + 4 + 1 + 9 + 25) / (1 + 4 + 4 + 9 + 25)))
    json.dumps(details, allow_nan=False)


STATES = arrays(
    np.float32,
    (7, 5),
    elements=st.floats(2**-10, 50, width=32) | st.floats(-50, -(2**-10), width=32),
    fill=st.nothing(),
)


RATIOS = st.floats(0.5001, 1.9999)
"""Of two norms: states that point one way and differ more in length are no measurement, as shown below."""


@settings(max_examples=30)
@given(STATES, STATES, RATIOS, RATIOS)
def test_bounds_symmetry_and_scale(npu, drawn, ratio, ratio_scaled):
    gpu = drawn * np.float32(np.linalg.norm(npu) / np.linalg.norm(drawn) / ratio)
    scale = ratio_scaled / ratio
    one, other = (
        compare([hidden("a", npu)], [hidden("a", gpu)]),
        compare([hidden("a", gpu)], [hidden("a", npu)]),
    )
    assert -1 <= one.value <= 1
    assert one.value == pytest.approx(float(direct(npu, gpu).mean()), abs=1e-5)
    assert other.value == pytest.approx(one.value, abs=1e-6)
    scaled = compare([hidden("a", npu * np.float32(scale))], [hidden("a", gpu)])
    assert scaled.value == pytest.approx(one.value, abs=1e-5)
    assert scaled.details["norm_ratio"] == pytest.approx(one.details["norm_ratio"] * scale, rel=1e-4)


def test_blocks_add_up_to_the_whole(monkeypatch):
    rng = np.random.default_rng(0)
    npu = rng.normal(size=(1003, 64)).astype(np.float32)
    gpu = npu + 0.1 * rng.normal(size=npu.shape).astype(np.float32)
    (whole,) = closeness([(hidden("a", npu), hidden("a", gpu))])
    monkeypatch.setattr(module, "_BLOCK_BYTES", 64 * 4 * 10)
    (blocks,) = closeness([(hidden("a", npu), hidden("a", gpu))])
    assert len(blocks.cosine) == 1003
    for name in ("cosine", "distance", "tested_norm", "reference_norm"):
        np.testing.assert_allclose(getattr(blocks, name), getattr(whole, name), rtol=1e-6)
    np.testing.assert_allclose(blocks.cosine, direct(npu, gpu), atol=1e-6)
    np.testing.assert_allclose(blocks.distance, np.linalg.norm(npu - gpu, axis=1), rtol=1e-5)


@pytest.mark.parametrize("mode", ["r", "c", "r+"])
def test_file_maps_are_read_whole_and_keep_their_contents(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(module, "_KEPT_BYTES", 4096)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1024)
    states = np.random.default_rng(0).normal(size=(600, 64)).astype(np.float32)
    np.save(tmp_path / "states.npy", states)
    mapped = np.load(tmp_path / "states.npy", mmap_mode=mode)
    if mode == "c":
        mapped[5] = states[5] = 3.0  # a change that lives in memory only and must not be dropped
    (result,) = closeness([(hidden("a", mapped[:300]), hidden("a", mapped[300:]))])
    np.testing.assert_allclose(result.cosine, direct(states[:300], states[300:]), atol=1e-6)
    np.testing.assert_array_equal(np.asarray(mapped), states)


MEMORY = """
import resource, sys
import numpy as np
from pytest_gptoss.judge.metrics.hidden import closeness
from pytest_gptoss.model.results import HiddenStates
mapped = np.load(sys.argv[1], mmap_mode="r")
ids = tuple(range(len(mapped)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
(result,) = closeness([(HiddenStates("a", ids, mapped), HiddenStates("a", ids, mapped))])
assert (result.cosine > 0.999).all()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is counted in KiB on Linux")
def test_a_file_larger_than_the_kept_pages_stays_on_disk(tmp_path):
    path = tmp_path / "states.npy"
    states = np.lib.format.open_memmap(path, "w+", np.float32, (60_000, 2048))
    states[:] = 1.0
    states.flush()
    assert path.stat().st_size > 450 * 2**20
    done = subprocess.run([sys.executable, "-c", MEMORY, path], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 200


@pytest.mark.parametrize("state", [[np.nan, 1.0], [np.inf, 1.0], [0.0, 0.0], [3e38, 3e38]])
def test_a_broken_npu_state_is_a_finding(state):
    good = [[1.0, 1.0]] * 50
    estimate = compare(
        [hidden("a", [*good[1:], state]), hidden("b", good)], [hidden("a", good), hidden("b", good)]
    )
    assert estimate.value == 0
    assert estimate.details["broken"] == {"a": 1}
    assert estimate.details["finding"] == (
        "npu: states that are zero or not finite in 1 sequences, first a (1 positions): look for NaN"
    )
    json.dumps(estimate.details, allow_nan=False)


def test_nothing_but_broken_states_still_makes_json():
    estimate = compare([hidden("a", [[np.nan, 1.0]])], [hidden("a", [[1.0, 1.0]])])
    assert (estimate.value, estimate.details["mean"], estimate.details["norm_ratio"]) == (0, None, None)
    json.dumps(estimate.details, allow_nan=False)


@pytest.mark.parametrize("state", [[np.nan, 1.0], [np.inf, 1.0], [0.0, 0.0]])
def test_a_broken_baseline_state_is_no_data(state):
    with pytest.raises(
        InsufficientData, match=r"gpu: 1 hidden states of a are zero or not finite, .* position 1"
    ):
        compare([hidden("a", [[1.0, 1.0]] * 2)], [hidden("a", [[1.0, 1.0], state])])


def test_states_from_before_the_final_norm_are_suspected():
    states = np.random.default_rng(0).normal(size=(20, 8))
    finding = compare([hidden("a", states * 0.83)], [hidden("a", states)]).details["finding"]
    assert "norms differ by a factor of 0.830: are both states taken after the final norm?" in finding


def test_norms_are_told_beside_a_pass():
    states = np.random.default_rng(0).normal(size=(20, 8))
    assert (
        "norms differ by a factor of 1.300"
        in compare([hidden("a", states * 1.3)], [hidden("a", states)]).details["note"]
    )
    note = compare([hidden("a", states * 1.02)], [hidden("a", states)]).details["note"]
    assert note == "hidden states: npu from /pooling and gpu from /pooling"


@pytest.mark.parametrize("scale", [0.025, 40.0])
def test_the_same_directions_at_another_scale_are_no_measurement(scale):
    states = np.random.default_rng(0).normal(size=(20, 8))
    with pytest.raises(InsufficientData, match=r"times as long .*use_activation"):
        compare([hidden("a", states * scale)], [hidden("a", states)])


def test_other_directions_at_another_scale_are_the_devices_fault():
    rng = np.random.default_rng(0)
    estimate = compare([hidden("a", 40 * rng.normal(size=(20, 8)))], [hidden("a", rng.normal(size=(20, 8)))])
    assert estimate.value < 0.9
    assert "norms differ by a factor of" in estimate.details["finding"]


@pytest.mark.parametrize(
    ("npu", "gpu", "says"),
    [
        (np.ones((2, 4)), np.ones((2, 8)), "a: hidden states of width 4 against 8"),
        (np.ones((1, 4)), np.ones((2, 4)), r"a: hidden states of shape \(1, 4\) for 2 tokens"),
        (np.ones(4), np.ones((2, 4)), r"of shape \(4,\) for 2 tokens.*token_embed"),
        (np.ones((2, 0)), np.ones((2, 0)), r"of shape \(2, 0\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(npu, gpu, says):
    ids = (0, 1)
    with pytest.raises(InsufficientData, match=says):
        compare([hidden("a", npu, ids)], [hidden("a", gpu, ids)])


def test_other_tokens_are_refused():
    with pytest.raises(InsufficientData, match="given different tokens"):
        compare([hidden("a", np.ones((2, 4)), (1, 2))], [hidden("a", np.ones((2, 4)), (1, 3))])
