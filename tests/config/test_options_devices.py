"""Devices: how they are named, started, running or recorded."""

from pathlib import Path

import pytest

from pytest_gptoss.model.errors import UsageError


def test_two_urls_make_two_devices(settings_of):
    settings = settings_of(npu_url="http://n:1", gpu_url="http://g:2/v1", npu_label="Atlas, TP8=yes")
    assert [(each.role, each.name, each.url, each.label) for each in settings.devices] == [
        ("npu", "npu", "http://n:1", "Atlas, TP8=yes"),
        ("gpu", "gpu", "http://g:2/v1", None),
    ]
    assert settings.active


def test_several_npus_with_names_and_labels(settings_of):
    settings = settings_of(
        npu_url=["tp1=http://a:1", "tp8=http://b:2"],
        gpu_url="http://g:1",
        npu_label=["tp8=eight cards"],
    )
    assert settings.subjects == ("tp1", "tp8")
    assert [each.label for each in settings.devices] == [None, "eight cards", None]


def test_a_gateway_that_chooses_by_the_models_name_is_several_servers(settings_of):
    gateway = "http://gw:1/v1"
    settings = settings_of(
        npu_url=[f"tp1={gateway}", f"tp8={gateway}"],
        npu_model=["tp8=oss-tp8", "oss-tp1"],
        gpu_url=gateway,
        gpu_model="oss-gpu",
        cpu_url=gateway,
        cpu_model_name="oss-cpu",
    )
    assert [each.model for each in settings.devices] == ["oss-tp1", "oss-tp8", "oss-gpu", "oss-cpu"]


def test_a_model_with_a_sign_in_its_name_is_every_devices(settings_of):
    settings = settings_of(npu_url=["a=http://n", "b=http://m"], npu_model="org/model=v2")
    assert [each.model for each in settings.devices] == ["org/model=v2", "org/model=v2"]


def test_nothing_given_is_not_active(settings_of):
    assert not settings_of().active


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
            {"npu_url": "http://n", "gpu_url": "http://localhost:81", "cpu_url": "http://127.0.0.1:81"},
            "--gpu-url gpu and --cpu-url cpu are both http://localhost:81",
        ),
        ({"npu_url": ["a=http://n", "b=http://n.:80/v1"]}, "--npu-url a and --npu-url b are both http://n"),
        (
            {
                "npu_url": "http://n",
                "gpu_url": "http://g",
                "hidden_npu": "http://h",
                "hidden_gpu": "http://h:80",
            },
            "name one source of hidden states",
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
        ({"npu_url": ["a=http://n", "b=http://m"], "npu_label": "which"}, "say which device"),
        ({"npu_url": ["a=http://n"], "npu_label": ["a=x", "a=y"]}, "given twice"),
    ],
)
def test_refusals_name_the_option(settings_of, given, message):
    with pytest.raises(UsageError, match=message) as caught:
        settings_of(**given)
    assert "user:pass" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gpu_label": "A100"}, "--gpu-label: there is no gpu in this run"),
        ({"gpu_model": "gpt-oss"}, "--gptoss-gpu-model: there is no gpu in this run"),
        ({"cpu_label": "host"}, "--cpu-label: there is no cpu in this run; add --cpu-url URL"),
        ({"cpu_model_name": "x"}, "--gptoss-cpu-model-name: there is no cpu in this run"),
    ],
)
def test_an_option_about_a_device_that_is_not_there_is_refused(settings_of, given, message):
    with pytest.raises(UsageError) as error:
        settings_of(npu_url="http://n", **given)
    assert message in str(error.value)


def test_a_label_in_the_ini_file_alone_starts_no_run(settings_of):
    assert not settings_of(gpu_label="A100").active


def test_embedded_brings_its_profile_unless_told_otherwise(settings_of):
    assert settings_of(embedded="1").profile == "embedded"
    assert settings_of(embedded="1", profile="atlas-800-a2").profile == "atlas-800-a2"


def test_a_cpu_reference_is_started_or_running(settings_of, tmp_path):
    started = settings_of(npu_url="http://n", cpu_model="tiny", cpu_label="FP32")
    assert started.cpu_model == Path("tiny")
    assert [(each.name, each.url, each.label) for each in started.devices if each.role == "cpu"] == [
        ("cpu", None, "FP32")
    ]
    assert settings_of(npu_url="http://n", cpu_model=".").cpu_model == tmp_path
    with pytest.raises(UsageError, match="--gptoss-cpu-model and --cpu-url exclude each other: either start"):
        settings_of(npu_url="http://n", cpu_model="tiny", cpu_url="http://c")
