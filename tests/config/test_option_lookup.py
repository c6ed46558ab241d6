"""Command line over environment over ini; empty values are refused by name."""

import pytest

from pytest_gptoss.config.option_values import check_options, read_options
from pytest_gptoss.config.options import OPTIONS
from pytest_gptoss.model.errors import UsageError

pytest_plugins = ["pytester"]


def _read(pytester, *arguments, environ=None, ini=""):
    pytester.makeini(f"[pytest]\n{ini}")
    config = pytester.parseconfig(*arguments)
    return check_options(read_options(config, environ or {}), base=pytester.path)


def test_command_line_wins_over_environment_wins_over_ini(pytester):
    ini = "gptoss_gpu_url = http://ini"
    assert _read(pytester, ini=ini).value("gpu_url") == "http://ini"
    environ = {"GPTOSS_GPU_URL": "http://env"}
    assert _read(pytester, environ=environ, ini=ini).value("gpu_url") == "http://env"
    values = _read(pytester, "--gpu-url", "http://cli", environ=environ, ini=ini)
    assert values.value("gpu_url") == "http://cli"
    assert values.origin("gpu_url") == "--gpu-url"


def test_repeated_option_is_one_a_line_in_environment(pytester):
    values = _read(pytester, environ={"GPTOSS_NPU_URL": "a=http://a\nb=http://b\n"})
    assert values.value("npu_url") == ("a=http://a", "b=http://b")


@pytest.mark.parametrize(
    ("arguments", "environ", "named"),
    [
        (["--npu-url", ""], {}, "--npu-url"),
        (["--gptoss-profile", "  "], {}, "--gptoss-profile"),
        ([], {"GPTOSS_NPU_URL": ""}, "GPTOSS_NPU_URL"),
        ([], {"GPTOSS_EMBEDDED": ""}, "GPTOSS_EMBEDDED"),
    ],
)
def test_empty_value_is_refused_by_name(pytester, arguments, environ, named):
    with pytest.raises(UsageError, match=f"{named} is empty"):
        _read(pytester, *arguments, environ=environ)


@pytest.mark.parametrize(("word", "on"), [("1", True), ("yes", True), ("0", False), ("off", False)])
def test_switch_words(pytester, word, on):
    assert _read(pytester, environ={"GPTOSS_TRUST_ENV": word}).value("trust_env") is on


def test_switch_refuses_other_words(pytester):
    with pytest.raises(UsageError, match="GPTOSS_TRUST_ENV is 'perhaps'"):
        _read(pytester, environ={"GPTOSS_TRUST_ENV": "perhaps"})


def test_names_follow_the_flag():
    names = {option.flag: (option.env, option.ini) for option in OPTIONS}
    assert names["--npu-url"] == ("GPTOSS_NPU_URL", "gptoss_npu_url")
    assert names["--gptoss-profile"] == ("GPTOSS_PROFILE", "gptoss_profile")
