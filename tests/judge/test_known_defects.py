"""Versions known to be wrong: which devices they are found on, and which are left alone."""

import dataclasses

import pytest
from made import failure, measurement

from pytest_gptoss.judge.facts import FactBook
from pytest_gptoss.judge.known_defects import known_defects, platform_of
from pytest_gptoss.judge.metrics.known_defects import present
from pytest_gptoss.judge.thresholds import load_profile, profile_names
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.subjects import KnownFact, ServerFacts

SERVER = ServerFacts("r1", ("10.0.0.1:8000",), 0.0, ("m",), model="m", version="0.18.0")
SOUND = {"vllm_ascend": "0.20.2rc1"}


def server(device="npu", version="0.18.0", **told):
    known = tuple(KnownFact(name, value, "/server_info") for name, value in told.items())
    return measurement(device, [dataclasses.replace(SERVER, version=version, known=known)])


def judged(npu, gpu=None, *, labels=None, stated=None):
    return present(npu=npu, gpu=gpu, stated=stated or {}, labels=labels or {})


def names(estimate):
    return [each["name"] for each in estimate.details["defects"]]


def test_every_entry_says_all_that_a_reader_needs():
    rows = {row for name in profile_names() for row in load_profile(name).thresholds}
    for entry in known_defects():
        assert entry.wrong
        assert entry.remedy
        assert entry.source
        assert set(entry.rows) <= rows
        assert entry.platform in ("npu", "cuda")


@pytest.mark.parametrize("version", ["0.18.0rc1", "v0.18.0", "0.18.0rc1-openeuler", "0.18.1.dev7+g1a2b3c4"])
def test_a_version_and_a_condition_that_match_are_a_breach(version):
    estimate = judged(server(), stated={"npu": {"vllm_ascend": version, "cudagraph_mode": "PIECEWISE"}})
    assert names(estimate) == ["ascend-plain-swiglu", "ascend-sliding-window-mask"]
    said = estimate.details["finding"]
    for words in (f"npu: vllm_ascend {version} (--gptoss-info)", "swiglu", "vllm-ascend#8465",
                  "precision.perplexity_diff", "0.19.1rc1 or later"):  # fmt: skip
        assert words in said, words


@pytest.mark.parametrize(
    ("version", "mode", "found"),
    [
        ("0.19.1rc1", "PIECEWISE", []),
        ("0.19.1rc1", "NONE", []),
        ("0.19.1-rc1", "NONE", []),
        ("0.18.0-a3", "NONE", ["ascend-plain-swiglu", "ascend-sliding-window-mask"]),  # an image's tag
        ("0.19.1rc1", "FULL_AND_PIECEWISE", []),
        ("0.19.1rc1", "FULL", ["ascend-full-graph-decode"]),
        ("0.20.2.dev3", "full_decode_only", ["ascend-full-graph-decode"]),
        ("0.20.2rc1", "FULL_DECODE_ONLY", []),
        ("0.20.2", "FULL", []),
        ("0.17.0rc1", "PIECEWISE", ["ascend-plain-swiglu"]),
        ("0.19.0", "FULL",
         ["ascend-plain-swiglu", "ascend-sliding-window-mask", "ascend-full-graph-decode"]),
    ],
)  # fmt: skip
def test_candidates_and_graph_modes(version, mode, found):
    assert names(judged(server(), stated={"npu": {"vllm_ascend": version, "cudagraph_mode": mode}})) == found


def test_an_unknown_graph_mode_is_no_verdict_and_names_the_option():
    with pytest.raises(InsufficientData) as error:
        judged(server(), stated={"npu": {"vllm_ascend": "0.19.1rc1"}})
    assert not isinstance(error.value, ConditionAbsent)
    assert "--gptoss-info npu.cudagraph_mode=" in str(error.value)
    assert "FULL or FULL_DECODE_ONLY" in str(error.value)


def test_a_known_defect_outranks_what_is_open():
    estimate = judged(server(), stated={"npu": {"vllm_ascend": "0.18.0"}})
    assert estimate.value == 2
    assert "--gptoss-info npu.cudagraph_mode=" in estimate.details["note"]


@pytest.mark.parametrize(
    "told", [{"enforce_eager": "True"}, {"cudagraph_mode": "PIECEWISE"}, {"cudagraph_mode": "NONE"}]
)
def test_what_the_server_tells_of_its_graphs_decides(told):
    assert judged(server(**told), stated={"npu": {"vllm_ascend": "0.19.1rc1"}}).value == 0


def test_the_servers_own_word_counts_before_what_is_stated():
    npu = server(cudagraph_mode="FULL_DECODE_ONLY")
    estimate = judged(npu, stated={"npu": {"vllm_ascend": "0.19.1rc1", "cudagraph_mode": "PIECEWISE"}})
    assert names(estimate) == ["ascend-full-graph-decode"]


@pytest.mark.parametrize("stated", [{}, {"cann": "8.5.1"}])
def test_an_unknown_version_is_skipped_with_the_option(stated):
    with pytest.raises(ConditionAbsent, match=r"--gptoss-info npu\.vllm_ascend="):
        judged(server(), stated={"npu": stated})


@pytest.mark.parametrize(
    ("version", "wrong"),
    [("0.18.0", 0), ("0.19.1", 0), ("0.19.2", 1), ("0.22.1", 1), ("0.24.0", 1), ("0.24.1.post1+cu129", 1),
     ("0.25.0rc1", 0), ("0.25.0", 0), ("0.32.0", 0)],
)  # fmt: skip
def test_baselines_by_version(version, wrong):
    gpu = server("gpu", version, quantization="None", platform="cuda")
    estimate = judged(server(), gpu=gpu, stated={"npu": SOUND})
    assert estimate.value == wrong
    if wrong:
        assert f"gpu: vllm {version} (/version)" in estimate.details["finding"]
        assert "0.18.x, or 0.25 or later" in estimate.details["finding"]


@pytest.mark.parametrize(
    "told",
    [
        {"quantization": "mxfp4"},
        {"quantization": "None", "platform": "cpu"},
        {"quantization": "None", "platform": "rocm"},
        {"quantization": "None", "platform": "npu", "vllm_ascend": "0.20.2rc1"},
    ],
)
def test_a_baseline_of_an_affected_version_that_is_not_affected(told):
    assert judged(server(), gpu=server("gpu", "0.22.1", **told), stated={"npu": SOUND}).value == 0


def test_a_baseline_whose_checkpoint_nobody_tells_is_no_verdict():
    with pytest.raises(InsufficientData, match=r"--gptoss-info gpu\.quantization="):
        judged(server(), gpu=server("gpu", "0.22.1"), stated={"npu": SOUND})
    stated = {"npu": SOUND, "gpu": {"quantization": "none"}}
    assert names(judged(server(), gpu=server("gpu", "0.22.1"), stated=stated)) == ["cuda-bf16-swiglu"]


def test_the_label_tells_a_platform():
    gpu, stated = server("gpu", "0.22.1", quantization="None"), {"npu": SOUND}
    assert judged(server(), gpu=gpu, labels={"gpu": "Xeon CPU"}, stated=stated).value == 0
    assert judged(server(), gpu=gpu, labels={"gpu": "NVIDIA H100"}, stated=stated).value == 1


def test_a_device_under_test_that_is_a_gpu_is_looked_up_as_one():
    npu = server(version="0.22.1", platform="cuda", quantization="None")
    assert names(judged(npu)) == ["cuda-bf16-swiglu"]


def test_a_pair_of_cpus_is_nothing_that_the_table_is_about():
    npu, gpu = server(version="0.22.1", platform="cpu"), server("gpu", "0.22.1", platform="cpu")
    with pytest.raises(ConditionAbsent, match=r"no defect is known of .*npu \(cpu\), gpu \(cpu\)"):
        judged(npu, gpu)


def test_a_baseline_that_does_not_answer_hides_nothing():
    silent = measurement("gpu", [], failures=(failure("*", "connect", "nobody there"),), complete=False)
    assert judged(server(), gpu=silent, stated={"npu": SOUND}).value == 0
    assert judged(server(), gpu=silent, stated={"npu": {"vllm_ascend": "0.18.0"}}).value == 2


@pytest.mark.parametrize(
    ("facts", "role", "label", "platform"),
    [
        ({"platform": "cpu", "vllm_ascend": "0.18.0"}, "npu", "", "cpu"),
        ({"vllm_ascend": "0.18.0"}, "gpu", "", "npu"),
        ({"torch_npu": "2.9.0"}, "gpu", "", "npu"),
        ({"vllm": "0.22.1+cpu"}, "gpu", "", "cpu"),
        ({"vllm": "0.22.1+rocm700"}, "gpu", "", "rocm"),
        ({"vllm": "0.18.0+empty"}, "gpu", "", "npu"),
        ({"torch": "2.9.0+cu128"}, "npu", "", "cuda"),
        ({"torch": "2.9.0+cpu"}, "npu", "", "npu"),
        ({}, "npu", "Atlas 800 A2", "npu"),
        ({}, "npu", "H100 SXM", "cuda"),
        ({}, "gpu", "Ascend 910B", "npu"),
        ({}, "gpu", "AMD Instinct MI300X", "rocm"),
        ({}, "gpu", "CPU beside an H100", "cuda"),
        ({}, "gpu", "vLLM 0.22.1", "cuda"),
        ({}, "cpu", "", None),
    ],
)
def test_how_the_platform_is_known(facts, role, label, platform):
    book = FactBook("d", {name: KnownFact(name, value, "x") for name, value in facts.items()})
    assert platform_of(book, role=role, label=label) == platform
