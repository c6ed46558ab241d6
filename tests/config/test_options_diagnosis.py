"""What a diagnosis goes by: logs, stated facts, signatures."""

import pytest

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.model.errors import UsageError


def test_logs_and_facts_belong_to_devices(settings_of, tmp_path):
    for name in ("tp8.log", "gpu.log", "ours.toml"):
        tmp_path.joinpath(name).touch()
    settings = settings_of(
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
def test_bad_logs_and_facts_are_refused_by_name(settings_of, tmp_path, given, message):
    tmp_path.joinpath("some.log").touch()
    with pytest.raises(UsageError) as error:
        settings_of(npu_url="http://a:1", **given)
    assert message in str(error.value)


def test_a_fact_of_an_unknown_device_is_refused(settings_of):
    settings = settings_of(npu_url="http://a:1", info=["nup.cann=8.5.1"])
    with pytest.raises(UsageError, match="no device is called 'nup'; there are: npu"):
        make_plan(settings)
