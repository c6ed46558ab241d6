"""Facts from /server_info and from log files."""

import pytest

from pytest_gptoss.scenarios.server_facts import facts_of_log, facts_of_server_info

ENGINE = (
    "(EngineCore_0 pid=31) INFO 11-22 10:00:01 [core.py:58] "
    "Initializing a V1 LLM engine (v0.18.0) with config: "
    "model='/models/gpt-oss-20b', dtype=torch.bfloat16, max_seq_len=131072, tensor_parallel_size=8, "
    "pipeline_parallel_size=1, quantization=None, enforce_eager=False\n"
)


@pytest.fixture
def log(tmp_path):
    def write(*lines):
        path = tmp_path / "npu.log"
        path.write_text("".join(lines))
        return {fact.name: (fact.value, fact.source) for fact in facts_of_log(path, shown="npu.log")}

    return write


def test_the_engines_own_line(log):
    found = log("INFO Platform plugin ascend is activated\n", ENGINE)
    assert found["dtype"] == ("torch.bfloat16", "npu.log:2")
    assert found["quantization"] == ("None", "npu.log:2")
    assert found["tensor_parallel_size"] == ("8", "npu.log:2")
    assert found["vllm"] == ("0.18.0", "npu.log:2")


def test_a_server_that_started_anew_has_the_last_word(log):
    found = log(ENGINE, "".join(ENGINE.replace("bfloat16", "float16")))
    assert found["dtype"] == ("torch.float16", "npu.log:2")


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("INFO vLLM API server version 0.18.0rc1\n", "vllm", "0.18.0rc1"),
        ("vLLM Ascend Version: 0.18.0rc1\n", "vllm_ascend", "0.18.0rc1"),
        ("vllm-ascend==0.18.0\n", "vllm_ascend", "0.18.0"),
        ("[pip3] torch_npu==2.9.0.post1\n", "torch_npu", "2.9.0.post1"),
        ("PyTorch version: 2.9.0+cpu\n", "torch", "2.9.0+cpu"),
        ("[pip3] torch-npu==2.9.0\n", "torch_npu", "2.9.0"),
        ("torch_npu   2.9.0\n", "torch_npu", "2.9.0"),
        ("PyTorch version   : 2.9.0\n", "torch", "2.9.0"),
        ("vLLM Version      : 0.18.0\n", "vllm", "0.18.0"),
        ("CANN version: 8.5.1\n", "cann", "8.5.1"),
        ("CANN   : 8.5.1\n", "cann", "8.5.1"),
        ("package_name=Ascend-cann-toolkit version=8.5.1 arch=x\n", "cann", "8.5.1"),
    ],
)
def test_versions_in_a_log(log, line, name, value):
    assert log(line) == {name: (value, "npu.log:1")}


@pytest.mark.parametrize("field", ["version", "version_dir"])
def test_cann_tells_its_version_below_its_name(log, field):
    found = log("package_name=Ascend-cann-toolkit\n", f"{field}=8.5.1\n", "innerversion=V100R001C25\n")
    assert found == {"cann": ("8.5.1", "npu.log:2")}


def test_another_packages_version_is_not_canns(log):
    assert log("package_name=Ascend-firmware\n", "version=7.3.0\n") == {}
    far = ["package_name=Ascend-cann-toolkit\n", *["x\n"] * 20, "version=7.3.0\n"]
    assert log(*far) == {}


@pytest.mark.parametrize(
    "line",
    [
        "INFO request with dtype=float16 refused\n",
        "[pip3] torch_npu is not installed\n",
        "INFO throughput 0.18.0 tokens\n",
        "\xff\xfe no text\n",
    ],
)
def test_other_lines_tell_nothing(log, line):
    assert log(line) == {}


def test_server_info_as_vllm_writes_it():
    info = {
        "vllm_config": {
            "model_config": {"dtype": "torch.bfloat16", "quantization": None, "enforce_eager": True},
            "parallel_config": {"tensor_parallel_size": 2, "enable_expert_parallel": True},
            "instance_id": "x",
        },
        "vllm_env": {"VLLM_API_KEY": "secret"},
        "system_env": {
            "torch_version": "2.9.0",
            "pip_packages": "[pip3] torch_npu==2.9.0\n[pip3] numpy==2.0",
        },
    }
    found = {fact.name: fact.value for fact in facts_of_server_info(info)}
    assert found == {
        "dtype": "torch.bfloat16", "quantization": "None", "enforce_eager": "True",
        "tensor_parallel_size": "2",
        "enable_expert_parallel": "True", "torch": "2.9.0", "torch_npu": "2.9.0",
    }  # fmt: skip


def test_what_a_server_tells_is_kept_short():
    (fact,) = facts_of_server_info({"vllm_config": {"model_config": {"dtype": "x\x1b[2J\n" * 100_000}}})
    assert len(fact.value) <= 120
    assert fact.value.isprintable()


@pytest.mark.parametrize("info", [None, [], "text", {}, {"vllm_config": "dtype=x"}, {"system_env": 3}])
def test_an_answer_of_another_form_tells_nothing(info):
    assert facts_of_server_info(info) == ()


REPRS = {
    "<CUDAGraphMode.PIECEWISE: 1>": "PIECEWISE",
    "<CUDAGraphMode.FULL_DECODE_ONLY: (2, 0)>": "FULL_DECODE_ONLY",
    "<CUDAGraphMode.NONE: 0>": "NONE",
}


@pytest.mark.parametrize("text", REPRS)
def test_the_graph_mode_in_a_log(log, text):
    config = f"compilation_config={{'mode': 3, 'cudagraph_mode': {text}, 'cudagraph_num_of_warmups': 1}}"
    found = log(ENGINE.replace("enforce_eager=False", f"enforce_eager=False, {config}"))
    assert found["cudagraph_mode"] == (REPRS[text], "npu.log:1")
    # Asked for is not what came of it.
    assert log(f"INFO non-default args: {{'cudagraph_mode': {text}}}\n") == {}


@pytest.mark.parametrize(
    ("value", "name"),
    [(0, "NONE"), (1, "PIECEWISE"), (2, "FULL"), ([2, 0], "FULL_DECODE_ONLY"), ([2, 1], "FULL_AND_PIECEWISE"),
     ("PIECEWISE", "PIECEWISE"), (9, None), ([[2], 0], None), ({}, None), (None, None), (1.5, None)],
)  # fmt: skip
def test_the_graph_mode_in_server_info(value, name):
    found = facts_of_server_info({"vllm_config": {"compilation_config": {"cudagraph_mode": value}}})
    assert [fact.value for fact in found] == ([] if name is None else [name])


@pytest.mark.parametrize(
    ("line", "platform"),
    [
        ("INFO 11-22 10:00:01 [__init__.py:291] Automatically detected platform cuda.", "cuda"),
        ("INFO 11-22 10:00:01 [__init__.py:291] Automatically detected platform rocm.", "rocm"),
        ("INFO 11-22 10:00:01 [__init__.py:282] Platform plugin ascend is activated", "npu"),
    ],
)
def test_the_platform_in_a_log(log, line, platform):
    assert log(f"{line}\n") == {"platform": (platform, "npu.log:1")}


@pytest.mark.parametrize(
    ("device", "system", "platform"),
    [
        ({"device_type": "npu"}, {}, "npu"),
        ({"device": None, "device_type": "cuda"}, {"hip_compiled_version": "N/A"}, "cuda"),
        ({"device_type": "cuda"}, {"hip_compiled_version": "7.0.5"}, "rocm"),
        ({"device": "cpu"}, None, "cpu"),
        ({"device": "npu:0"}, None, "npu"),
        ({"device": "auto"}, {}, None),
        ("cuda", {}, None),
    ],
)
def test_the_platform_in_server_info(device, system, platform):
    found = facts_of_server_info({"vllm_config": {"device_config": device}, "system_env": system})
    assert [fact.value for fact in found] == ([] if platform is None else [platform])
