"""Where hidden states come from."""

import pytest

from pytest_gptoss.config.option_values import OptionTexts, check_options
from pytest_gptoss.config.options import OPTION
from pytest_gptoss.config.settings import settings_from
from pytest_gptoss.model.errors import UsageError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"npu_url": "http://n", "hidden_npu": "nowhere.npz"}, "not a URL, not a file that exists"),
        (
            {"npu_url": "http://n", "hidden_npu": "logprobs"},
            "--gptoss-hidden-npu is 'logprobs': .*; add --gptoss-lm-head DIR",
        ),
        ({"npu_url": "http://n", "lm_head": "nowhere"}, "--gptoss-lm-head is 'nowhere': no such file or dir"),
        ({"npu_url": "http://n", "hidden_positions": "15"}, "--gptoss-hidden-positions is '15'"),
    ],
)
def test_refusals_name_the_option(settings_of, given, message):
    with pytest.raises(UsageError, match=message):
        settings_of(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden_gpu": "missing.npz"}, "--gptoss-hidden-gpu is 'missing.npz': not a URL, not a file"),
        ({"hidden_gpu": "http://p"}, "--gptoss-hidden-gpu: there is no gpu in this run; add --gpu-url"),
        ({"hidden_cpu": "http://p"}, "--gptoss-hidden-cpu: there is no cpu in this run"),
    ],
)
def test_an_option_about_a_device_that_is_not_there_is_refused(settings_of, given, message):
    with pytest.raises(UsageError) as error:
        settings_of(npu_url="http://n", **given)
    assert message in str(error.value)


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
def test_hidden_states_are_never_compared_with_themselves(settings_of, tmp_path, given, first, second):
    tmp_path.joinpath("h.npz").touch()
    tmp_path.joinpath("link.npz").symlink_to("h.npz")
    with pytest.raises(UsageError, match="name one source of hidden states") as caught:
        settings_of(npu_url="http://n:1", gpu_url="http://g:1", **given)
    assert first in str(caught.value)
    assert second in str(caught.value)


def test_a_hidden_file_is_a_path_and_a_server_is_text(settings_of, tmp_path):
    tmp_path.joinpath("h.npz").touch()
    npu, gpu = settings_of(
        npu_url="http://n", gpu_url="http://g", hidden_npu="h.npz", hidden_gpu="http://p"
    ).devices
    assert (npu.hidden, gpu.hidden) == (tmp_path / "h.npz", "http://p")


def test_states_from_logprobs_are_the_devices_own(settings_of):
    npu, gpu = settings_of(
        npu_url="http://n", gpu_url="http://g", hidden_npu="logprobs", hidden_gpu="logprobs", lm_head="tiny"
    ).devices
    assert (npu.hidden, gpu.hidden) == ("logprobs", "logprobs")


def test_a_recorded_device_gives_no_logprobs(tmp_path):
    tmp_path.joinpath("b.zip").touch()
    given = {"npu_url": "http://n", "baseline": "b.zip", "lm_head": "tiny"}
    given |= {"hidden_npu": "logprobs", "hidden_gpu": "logprobs"}
    texts = OptionTexts(
        {key: (each,) for key, each in given.items()}, {key: OPTION[key].flag for key in given}
    )
    options = check_options(texts, base=tmp_path)
    with pytest.raises(UsageError, match="but gpu is recorded in --gptoss-baseline"):
        settings_from(options, recorded={"gpu": None})
