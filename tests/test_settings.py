"""Options together: what is refused before anything is sent, and how devices are named."""

import json
import zipfile
from pathlib import Path

import pytest

from pytest_gptoss.config.options import OPTIONS, OptionValues
from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import settings_from
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadTask, NeedleTask
from pytest_gptoss.model.subjects import Capabilities, Device
from pytest_gptoss.scenarios.devices import ProbedDevice

FLAGS = {option.key: option.flag for option in OPTIONS}


def _settings(tmp_path: Path, **given):
    values = {key: (value,) if isinstance(value, str) else tuple(value) for key, value in given.items()}
    return settings_from(OptionValues(values, {key: FLAGS[key] for key in values}), base=tmp_path)


def test_two_urls_make_two_devices(tmp_path):
    settings = _settings(tmp_path, npu_url="http://n:1", gpu_url="http://g:2/v1", npu_label="Atlas, TP8=yes")
    assert [(each.role, each.name, each.url, each.label) for each in settings.devices] == [
        ("npu", "npu", "http://n:1", "Atlas, TP8=yes"),
        ("gpu", "gpu", "http://g:2/v1", None),
    ]
    assert settings.active


def test_several_npus_with_names_and_labels(tmp_path):
    settings = _settings(
        tmp_path,
        npu_url=["tp1=http://a:1", "tp8=http://b:2"],
        gpu_url="http://g:1",
        npu_label=["tp8=eight cards"],
    )
    assert settings.npus == ("tp1", "tp8")
    assert [each.label for each in settings.devices] == [None, "eight cards", None]


def test_a_gateway_that_chooses_by_the_models_name_is_several_servers(tmp_path):
    gateway = "http://gw:1/v1"
    settings = _settings(
        tmp_path,
        npu_url=[f"tp1={gateway}", f"tp8={gateway}"],
        npu_model=["tp8=oss-tp8", "oss-tp1"],
        gpu_url=gateway,
        gpu_model="oss-gpu",
        cpu_url=gateway,
        cpu_model_name="oss-cpu",
    )
    assert [each.model for each in settings.devices] == ["oss-tp1", "oss-tp8", "oss-gpu", "oss-cpu"]


def test_a_model_with_a_sign_in_its_name_is_every_devices(tmp_path):
    settings = _settings(tmp_path, npu_url=["a=http://n", "b=http://m"], npu_model="org/model=v2")
    assert [each.model for each in settings.devices] == ["org/model=v2", "org/model=v2"]


def test_nothing_given_is_not_active(tmp_path):
    assert not _settings(tmp_path).active


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"npu_url": "npu:8000"}, "--npu-url"),
        ({"npu_url": "http://user:pass@npu"}, "--npu-url"),
        ({"npu_url": ["http://a", "http://b"]}, "given twice"),
        ({"npu_url": ["gpu=http://a"]}, "another role"),
        ({"npu_url": ["corpus=http://a"]}, "names the fixed texts"),
        ({"gpu_url": "http://g"}, "no device to accept"),
        ({"cpu_url": "http://c"}, "no device to accept"),
        ({"npu_url": ["a=http://n:1/v1", "b=http://N:1"]}, "--npu-url a and --npu-url b are both http://n:1"),
        (
            {"npu_url": "http://n", "gpu_url": "http://g", "cpu_url": "http://g/v1"},
            "--gpu-url gpu and --cpu-url cpu are both http://g",
        ),
        (
            {"npu_url": ["a=http://n", "b=http://n"], "npu_model": "m"},
            "its model: --gptoss-npu-model a=MODEL and --gptoss-npu-model b=MODEL",
        ),
        ({"npu_url": ["a=http://n", "b=http://n"], "npu_model": ["a=m", "b=m"]}, "are both http://n"),
        ({"npu_url": ["a=http://n", "b=http://n"], "npu_model": ["a=m"]}, "are both http://n"),
        (
            {"npu_url": ["a=http://n", "b=http://m"], "npu_model": ["a=m", "a=n"]},
            "name one model for 'a', once",
        ),
        ({"npu_url": ["a=http://n", "b=http://m"], "npu_model": ["a="]}, "name one model for 'a', once"),
        ({"npu_url": ["a=http://n", "b=http://m"], "npu_model": ["m", "n"]}, "say which device each is for"),
        ({"embedded": "1", "npu_url": "http://n"}, "exclude each other"),
        ({"npu_url": "http://n", "inputs": "text"}, "it takes chat or token-ids"),
        ({"npu_url": "http://n", "timeout": "soon"}, "number of seconds"),
        ({"npu_url": "http://n", "timeout": "nan"}, "number of seconds"),
        ({"npu_url": "http://n", "timeout": "0"}, "number of seconds"),
        ({"npu_url": "http://n", "waive": "precision.rouge_l"}, "ID=REASON"),
        ({"npu_url": "http://n", "waive": "precision.rouge_l= "}, "needs its reason"),
        ({"npu_url": "http://n", "prompts": "nowhere.json"}, "no such file"),
        ({"npu_url": "http://n", "ca_bundle": "nowhere.pem"}, "no such file"),
        ({"npu_url": "http://n", "replay": "nowhere"}, "no such directory"),
        ({"npu_url": "http://n", "hidden_npu": "nowhere.npz"}, "neither a URL nor a file"),
        ({"npu_url": "http://n", "record": "b.zip"}, "no baseline to record"),
        ({"npu_url": ["a=http://n", "b=http://m"], "npu_label": "which"}, "say which device"),
        ({"npu_url": ["a=http://n"], "npu_label": ["a=x", "a=y"]}, "given twice"),
        ({"needle": "The magic word is sesame."}, "--gptoss-expect"),
        ({"needle": "The code is 12.", "expect": "7842"}, "no part of the needle"),
        ({"question": "Is the code 7842?"}, "gives the answer '7842' away"),
        ({"needle": "The secret place is the River.", "expect": "River"}, "the haystack says by itself"),
        ({"needle": "秘密是苹果。", "expect": "苹果", "question": "？"}, "the haystack says by itself"),
        ({"needle_grid": "half"}, "it takes document or full"),
        ({"needle_trials": "0"}, "--gptoss-needle-trials is '0': it takes a whole number from 1 on"),
        ({"needle_trials": "many"}, "whole number"),
        ({"seed": "-1"}, "--gptoss-seed is '-1'"),
        ({"max_context_len": "128k"}, "--gptoss-max-context-len is '128k'"),
        (
            {"needle": "密码是芝麻。", "expect": "芝麻", "question": "？", "needle_trials": "2"},
            "no digit or letter",
        ),
    ],
)
def test_refusals_name_the_option(tmp_path, given, message):
    with pytest.raises(UsageError, match=message) as caught:
        _settings(tmp_path, **given)
    assert "user:pass" not in str(caught.value)


def test_the_guides_needle_is_the_default_and_a_new_one_brings_its_answer(tmp_path):
    assert _settings(tmp_path).needle == NeedleTask(
        "The secret code is 7842.", "What is the secret code?", "7842"
    )
    given = _settings(
        tmp_path, needle="Room 4 is booked under 991.", question="Which number?", needle_trials="3", seed="7"
    )
    assert (given.needle.expect, given.needle.trials, given.needle.seed) == ("991", 3, 7)
    assert given.needle_grid == "document"
    assert _settings(tmp_path, max_context_len="65536").needle.max_context_len == 65_536


def test_replay_excludes_servers(tmp_path):
    with pytest.raises(UsageError, match="exclude each other"):
        _settings(tmp_path, replay=".", npu_url="http://n")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("concurrency", "4"), ("num_requests", "9"), ("max_tokens", "9"), ("prompt_len", "512"),
        ("bench_endpoint", "completions"), ("trials", "2"), ("load_gpu", "1"), ("no_calibration", "1"),
        ("needle", "The code is 5."), ("question", "Which?"), ("expect", "7842"), ("needle_grid", "full"),
        ("needle_trials", "2"), ("seed", "3"), ("max_context_len", "4096"),
    ],
)  # fmt: skip
def test_a_replay_refuses_what_it_would_have_to_measure(tmp_path, key, value):
    with pytest.raises(UsageError, match=f"--gptoss-replay and {FLAGS[key]} exclude each other: a replay"):
        _settings(tmp_path, replay=".", **{key: value})


def test_baseline_excludes_a_gpu_server(tmp_path):
    (tmp_path / "b.zip").touch()
    with pytest.raises(UsageError, match="stands in for the GPU"):
        _settings(tmp_path, npu_url="http://n", gpu_url="http://g", baseline="b.zip")
    _record(tmp_path / "b.zip", "gpu")
    settings = _settings(tmp_path, npu_url="http://n", baseline="b.zip")
    assert [(each.role, each.url) for each in settings.devices] == [("npu", "http://n"), ("gpu", None)]
    with pytest.raises(UsageError, match="no GPU server to put under load"):
        _settings(tmp_path, npu_url="http://n", baseline="b.zip", load_gpu="1")


def _record(path, *roles):
    made = [Device(role, role, None, role, "gpt-oss-20b", None, None, Capabilities()) for role in roles]
    devices = {each.name: ProbedDevice(each.name, each).document() for each in made}
    document = {"format": 2, "devices": devices, "facts": {}, "scenarios": []}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("baseline.json", json.dumps(document))


def test_a_recorded_cpu_is_used_unless_a_live_one_is_named(tmp_path):
    _record(tmp_path / "b.zip", "gpu", "cpu")
    recorded = _settings(tmp_path, npu_url="http://n", baseline="b.zip").devices
    assert [(each.name, each.recorded) for each in recorded] == [
        ("npu", False), ("gpu", True), ("cpu", True),
    ]  # fmt: skip
    live = _settings(tmp_path, npu_url="http://n", baseline="b.zip", cpu_url="http://c").devices
    assert [(each.url, each.recorded) for each in live if each.name == "cpu"] == [("http://c", False)]


def test_a_baseline_without_a_gpu_or_of_another_model_is_refused(tmp_path):
    _record(tmp_path / "none.zip", "cpu")
    with pytest.raises(UsageError, match=r"none\.zip: it holds no gpu"):
        _settings(tmp_path, npu_url="http://n", baseline="none.zip")
    _record(tmp_path / "b.zip", "gpu")
    _settings(tmp_path, npu_url="http://n", baseline="b.zip", gpu_model="gpt-oss-20b")
    with pytest.raises(UsageError, match=r"--gptoss-gpu-model is 'other'.*from 'gpt-oss-20b'"):
        _settings(tmp_path, npu_url="http://n", baseline="b.zip", gpu_model="other")


@pytest.mark.parametrize(
    ("given", "first", "second"),
    [
        ({"hidden_npu": "h.npz", "hidden_gpu": "h.npz"}, "--gptoss-hidden-npu (npu)", "--gptoss-hidden-gpu"),
        (
            {"hidden_npu": "h.npz", "hidden_gpu": "./link.npz"},
            "--gptoss-hidden-npu (npu)",
            "--gptoss-hidden-gpu",
        ),
        (
            {"hidden_npu": "http://p:1", "hidden_gpu": "http://P:1/v1/"},
            "--gptoss-hidden-npu (npu)",
            "--gptoss-hidden-gpu (gpu)",
        ),
        ({"hidden_npu": "http://g:1/v1"}, "--gptoss-hidden-npu (npu)", "--gpu-url (gpu)"),
        ({"hidden_gpu": "http://n:1"}, "--npu-url (npu)", "--gptoss-hidden-gpu (gpu)"),
    ],
)
def test_hidden_states_are_never_compared_with_themselves(tmp_path, given, first, second):
    tmp_path.joinpath("h.npz").touch()
    tmp_path.joinpath("link.npz").symlink_to("h.npz")
    with pytest.raises(UsageError, match="name one source of hidden states") as caught:
        _settings(tmp_path, npu_url="http://n:1", gpu_url="http://g:1", **given)
    assert first in str(caught.value)
    assert second in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden_gpu": "missing.npz"}, "--gptoss-hidden-gpu is 'missing.npz': neither a URL nor a file"),
        ({"hidden_gpu": "http://p"}, "--gptoss-hidden-gpu: there is no gpu in this run; add --gpu-url"),
        ({"gpu_label": "A100"}, "--gpu-label: there is no gpu in this run"),
        ({"gpu_model": "gpt-oss"}, "--gptoss-gpu-model: there is no gpu in this run"),
        ({"cpu_label": "host"}, "--cpu-label: there is no cpu in this run; add --cpu-url URL"),
        ({"hidden_cpu": "http://p"}, "--gptoss-hidden-cpu: there is no cpu in this run"),
        ({"cpu_model_name": "x"}, "--gptoss-cpu-model-name: there is no cpu in this run"),
        ({"inputs": "token-ids"}, "--gptoss-inputs is 'token-ids': no baseline whose prompt ids"),
    ],
)
def test_an_option_about_a_device_that_is_not_there_is_refused(tmp_path, given, message):
    with pytest.raises(UsageError) as error:
        _settings(tmp_path, npu_url="http://n", **given)
    assert message in str(error.value)


def test_a_label_in_the_ini_file_alone_starts_no_run(tmp_path):
    assert not _settings(tmp_path, gpu_label="A100").active


def test_a_hidden_file_is_a_path_and_a_server_is_text(tmp_path):
    tmp_path.joinpath("h.npz").touch()
    npu, gpu = _settings(
        tmp_path, npu_url="http://n", gpu_url="http://g", hidden_npu="h.npz", hidden_gpu="http://p"
    ).devices
    assert (npu.hidden, gpu.hidden) == (tmp_path / "h.npz", "http://p")


def test_embedded_brings_its_profile_unless_told_otherwise(tmp_path):
    assert _settings(tmp_path, embedded="1").profile == "embedded"
    assert _settings(tmp_path, embedded="1", profile="atlas-800-a2").profile == "atlas-800-a2"


def test_load_is_the_profiles_unless_given(tmp_path):
    assert _settings(tmp_path, npu_url="http://n").load == LoadTask()
    given = _settings(
        tmp_path, npu_url="http://n", gpu_url="http://g", concurrency="16, 1", num_requests="40",
        max_tokens="64", prompt_len="512", bench_endpoint="completions", trials="3", load_gpu="1",
        no_calibration="1",
    )  # fmt: skip
    assert given.load == LoadTask((1, 16), 40, 64, 512, "completions", 3, gpu=True, calibrate=False)


def test_logs_and_facts_belong_to_devices(tmp_path):
    for name in ("tp8.log", "gpu.log", "ours.toml"):
        tmp_path.joinpath(name).touch()
    settings = _settings(
        tmp_path,
        npu_url=["tp1=http://a:1", "tp8=http://b:2"],
        gpu_url="http://g:1",
        npu_log=["tp8=tp8.log"],
        gpu_log="gpu.log",
        info=["tp8.cann=8.5.1", "rack = 7 = left", "tp1.dtype=bfloat16"],
        signatures=["ours.toml"],
    )
    assert [each.log for each in settings.devices] == [None, tmp_path / "tp8.log", tmp_path / "gpu.log"]
    assert settings.info.of_devices == {"tp8": {"cann": "8.5.1"}, "tp1": {"dtype": "bfloat16"}}
    assert settings.info.of_run == {"rack": "7 = left"}
    assert settings.signatures == (tmp_path / "ours.toml",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"concurrency": "1;4"}, "--gptoss-concurrency is '1;4': it takes whole numbers"),
        ({"concurrency": "1,,4"}, "with commas between them"),
        ({"concurrency": "0,4"}, "from 1 to 9999"),
        ({"concurrency": "4,4"}, "name each level once"),
        ({"num_requests": "none"}, "--gptoss-num-requests is 'none': it takes a whole number from 1 on"),
        ({"max_tokens": "1"}, "--gptoss-max-tokens is '1': it takes a whole number from 2 on"),
        ({"prompt_len": "100"}, "--gptoss-prompt-len is '100': it takes a whole number from 160 on"),
        (
            {"bench_endpoint": "responses"},
            "--gptoss-bench-endpoint is 'responses': it takes chat or completions",
        ),
        ({"trials": "0"}, "--gptoss-trials is '0'"),
        ({"load_gpu": "1"}, "--gptoss-load-gpu: no GPU server to put under load; add --gpu-url URL"),
    ],
)
def test_a_load_that_cannot_be_is_refused(tmp_path, given, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        _settings(tmp_path, npu_url="http://n", **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"npu_log": "none.log"}, "--gptoss-npu-log is 'none.log': no such file"),
        ({"npu_log": "."}, "--gptoss-npu-log is '.': no such file"),
        ({"gpu_log": "some.log"}, "add --gpu-url URL"),
        ({"npu_log": "tp9=some.log"}, "--gptoss-npu-log is 'tp9=some.log': no such file"),
        ({"info": ["npu.cann"]}, "it takes DEVICE.FACT=VALUE"),
        ({"info": ["npu.cann="]}, "it takes DEVICE.FACT=VALUE"),
        ({"info": ["np u.cann=8"]}, "it takes DEVICE.FACT=VALUE"),
        ({"info": ["npu.cann=new"]}, "it takes a version, as npu.cann=8.5.1"),
        ({"info": ["npu.cann=8.5.1", "npu.cann=8.5.2"]}, "stated twice"),
        ({"info": ["npu.cudagraph_mode=graph"]}, "it takes one of NONE, PIECEWISE, FULL, FULL_DECODE_ONLY"),
        ({"info": ["gpu.platform=gpu"]}, "it takes one of npu, cuda, rocm, cpu, other"),
        ({"signatures": ["none.toml"]}, "--gptoss-signatures is 'none.toml': no such file"),
    ],
)
def test_bad_logs_and_facts_are_refused_by_name(tmp_path, given, message):
    tmp_path.joinpath("some.log").touch()
    with pytest.raises(UsageError) as error:
        _settings(tmp_path, npu_url="http://a:1", **given)
    assert message in str(error.value)


def test_a_fact_of_an_unknown_device_is_refused(tmp_path):
    settings = _settings(tmp_path, npu_url="http://a:1", info=["nup.cann=8.5.1"])
    with pytest.raises(UsageError, match="no device is called 'nup'; there are: npu"):
        make_plan(settings)
