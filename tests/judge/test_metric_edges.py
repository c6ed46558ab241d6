"""With three devices, the wrong one is named; with two, nobody is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import measurement, scored

from pytest_gptoss.judge.metrics.edges import edges, odd_one_out

RIGHT, WRONG = {1: -0.1, 2: -3.0}, {2: -0.1, 1: -3.0}


def device(name, *tops):
    return measurement(name, [scored(f"s{index}", [row[1]], tops=[row]) for index, row in enumerate(tops)])


@pytest.mark.parametrize("odd", ["npu", "gpu", "cpu"])
def test_the_odd_one_out_is_named(odd):
    tops = {name: WRONG if name == odd else RIGHT for name in ("npu", "gpu", "cpu")}
    estimate = edges(**{name: device(name, row, row) for name, row in tops.items()})
    details = estimate.details
    assert details["odd_one_out"] == odd
    assert details["finding"].startswith(f"{odd} is the odd one out")
    for name, edge in details["edges"].items():
        assert (edge["kl"] > 1) == (odd in name.split("-"))
        assert edge["n"] == 2
    assert estimate.value == max(edge["kl"] for edge in details["edges"].values())
    json.dumps(details, allow_nan=False)


def test_the_first_name_of_an_edge_is_measured_against_the_second():
    estimate = edges(npu=device("npu", WRONG), gpu=device("gpu", RIGHT), cpu=device("cpu", RIGHT))
    assert list(estimate.details["edges"]) == ["npu-gpu", "npu-cpu", "gpu-cpu"]
    assert estimate.details["edges"]["npu-gpu"]["perplexity_ratio"] == pytest.approx(2.718281828**2.9)


def test_all_edges_rest_on_what_the_cpu_scored():
    estimate = edges(
        npu=device("npu", RIGHT, WRONG), gpu=device("gpu", RIGHT, RIGHT), cpu=device("cpu", RIGHT)
    )
    assert estimate.n == 1
    assert estimate.value == pytest.approx(0, abs=1e-9)


def test_two_devices_have_one_edge_and_no_odd_one():
    details = edges(npu=device("npu", WRONG), gpu=device("gpu", RIGHT)).details
    assert list(details["edges"]) == ["npu-gpu"]
    assert details["odd_one_out"] is None
    assert "finding" not in details


@pytest.mark.parametrize(
    ("npu_gpu", "npu_cpu", "gpu_cpu", "odd"),
    [
        (0.001, 0.002, 0.0001, None),  # rounding, however unequal
        (0.5, 0.6, 0.4, None),  # three strangers
        (0.5, 0.5, 0.01, "npu"),
        (0.03, 0.001, 0.04, "gpu"),
    ],
)
def test_who_is_odd(npu_gpu, npu_cpu, gpu_cpu, odd):
    assert odd_one_out({"npu-gpu": npu_gpu, "npu-cpu": npu_cpu, "gpu-cpu": gpu_cpu}) == odd


KLS = st.floats(0, 10)


@given(KLS, KLS, KLS)
def test_the_odd_one_is_on_both_long_edges(npu_gpu, npu_cpu, gpu_cpu):
    divergences = {"npu-gpu": npu_gpu, "npu-cpu": npu_cpu, "gpu-cpu": gpu_cpu}
    odd = odd_one_out(divergences)
    if odd is not None:
        (other,) = [value for name, value in divergences.items() if odd not in name.split("-")]
        assert all(value >= 2 * other for name, value in divergences.items() if odd in name.split("-"))
