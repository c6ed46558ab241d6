"""What is sent: prompts as text or as ids."""

import pytest

from pytest_gptoss.model.errors import UsageError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"npu_url": "http://n", "inputs": "text"}, "it takes chat or token-ids"),
        ({"npu_url": "http://n", "prompts": "nowhere.json"}, "no such file"),
    ],
)
def test_refusals_name_the_option(settings_of, given, message):
    with pytest.raises(UsageError, match=message):
        settings_of(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"inputs": "token-ids"}, "--gptoss-inputs is 'token-ids': no baseline whose prompt ids"),
        ({"cpu_sequences": "8"}, "--gptoss-cpu-sequences: there is no cpu in this run"),
    ],
)
def test_an_option_about_a_device_that_is_not_there_is_refused(settings_of, given, message):
    with pytest.raises(UsageError) as error:
        settings_of(npu_url="http://n", **given)
    assert message in str(error.value)


def test_ids_are_sent_where_there_is_a_baseline(settings_of, tmp_path):
    tmp_path.joinpath("mine.json").touch()
    given = settings_of(npu_url="http://n", gpu_url="http://g", inputs="token-ids", prompts="mine.json")
    assert (given.inputs, given.prompts) == ("token-ids", tmp_path / "mine.json")
    assert settings_of(npu_url="http://n").inputs == "chat"


def test_the_cpu_scores_as_many_answers_as_told(settings_of):
    devices = {"npu_url": "http://n", "gpu_url": "http://g", "cpu_url": "http://c"}
    assert settings_of(**devices).cpu_sequences == 24
    assert settings_of(**devices, cpu_sequences="60").cpu_sequences == 60
    with pytest.raises(UsageError, match="--gptoss-cpu-sequences is '1'"):
        settings_of(**devices, cpu_sequences="1")


def test_longer_sequences_are_scored_where_told(settings_of):
    assert settings_of(npu_url="http://n").max_scored_tokens is None
    assert settings_of(npu_url="http://n", max_scored_tokens="8192").max_scored_tokens == 8192
    for wrong in ("255", "8193", "2k"):
        with pytest.raises(UsageError, match="it takes a whole number from 256 to 8192"):
            settings_of(npu_url="http://n", max_scored_tokens=wrong)


def test_a_chunk_is_stated_as_a_whole_number(settings_of):
    stated = settings_of(npu_url="http://n", info=("npu.max_num_batched_tokens=2048",)).info.of_devices
    assert stated == {"npu": {"max_num_batched_tokens": "2048"}}
    for wrong in ("2k", "0"):
        with pytest.raises(UsageError, match="it takes a whole number, as npu"):
            settings_of(npu_url="http://n", info=(f"npu.max_num_batched_tokens={wrong}",))
