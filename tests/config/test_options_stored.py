"""Runs kept: a recorded baseline, a replay."""

import json
import zipfile

import pytest

from pytest_gptoss.config.options import OPTION
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.subjects import Capabilities, Device
from pytest_gptoss.scenarios.devices import ProbedDevice


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"npu_url": "http://n", "replay": "nowhere"}, "no such directory"),
        ({"npu_url": "http://n", "record": "b.zip"}, "no baseline to record"),
    ],
)
def test_refusals_name_the_option(settings_of, given, message):
    with pytest.raises(UsageError, match=message):
        settings_of(**given)


def test_replay_excludes_servers(settings_of):
    with pytest.raises(UsageError, match="exclude each other"):
        settings_of(replay=".", npu_url="http://n")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("concurrency", "4"), ("num_requests", "9"), ("max_tokens", "9"), ("prompt_len", "512"),
        ("bench_endpoint", "completions"), ("trials", "2"), ("load_gpu", "1"), ("no_calibration", "1"),
        ("needle", "The code is 5."), ("question", "Which?"), ("expect", "7842"), ("needle_grid", "full"),
        ("needle_trials", "2"), ("seed", "3"), ("max_context_len", "4096"),
        ("rate", "8"), ("arrivals", "constant"), ("trace", "some.file"), ("trace_speed", "2"),
        ("duration", "9"), ("ramp_up", "9"), ("slo_ttft", "500"), ("slo_tpot", "50"), ("slo_share", "0.9"),
    ],
)  # fmt: skip
def test_a_replay_refuses_what_it_would_have_to_measure(settings_of, tmp_path, key, value):
    tmp_path.joinpath("some.file").touch()
    with pytest.raises(
        UsageError, match=f"--gptoss-replay and {OPTION[key].flag} exclude each other: a replay"
    ):
        settings_of(replay=".", **{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("npu_url", "http://n"), ("gpu_url", "http://g"), ("cpu_url", "http://c"), ("embedded", "1"),
        ("baseline", "some.file"), ("record", "b.zip"), ("cpu_model", "tiny"), ("npu_log", "some.file"),
        ("gpu_log", "some.file"), ("npu_label", "A"), ("gpu_label", "B"), ("cpu_label", "C"),
        ("npu_model", "m"), ("gpu_model", "m"), ("cpu_model_name", "m"), ("hidden_npu", "http://h"),
        ("hidden_gpu", "http://h"), ("hidden_cpu", "http://h"), ("load_gpu", "1"),
    ],
)  # fmt: skip
def test_a_replay_refuses_what_speaks_of_servers(settings_of, tmp_path, key, value):
    tmp_path.joinpath("some.file").touch()
    with pytest.raises(UsageError, match=f"{OPTION[key].flag} exclude each other: .* asks no server"):
        settings_of(replay=".", **{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ca_bundle", "some.file"), ("trust_env", "1"), ("timeout", "5"), ("first_token_timeout", "5"),
        ("ready_timeout", "5"), ("profile", "embedded"), ("thresholds", "some.file"),
        ("waive", "precision.kl=known"), ("inputs", "token-ids"), ("prompts", "some.file"),
        ("report", "other"), ("lang", "zh"), ("info", "npu.cann=8.5.1"), ("signatures", "some.file"),
        ("load_gpu", "0"), ("no_calibration", "0"),
    ],
)  # fmt: skip
def test_a_replay_takes_what_judges_and_shows(settings_of, tmp_path, key, value):
    tmp_path.joinpath("some.file").touch()
    assert settings_of(replay=".", **{key: value}).replay == tmp_path


def test_baseline_excludes_a_gpu_server(settings_of, tmp_path):
    (tmp_path / "b.zip").touch()
    with pytest.raises(UsageError, match="stands in for the GPU"):
        settings_of(npu_url="http://n", gpu_url="http://g", baseline="b.zip")
    _record(tmp_path / "b.zip", "gpu")
    settings = settings_of(npu_url="http://n", baseline="b.zip")
    assert [(each.role, each.url) for each in settings.devices] == [("npu", "http://n"), ("gpu", None)]
    with pytest.raises(UsageError, match="no GPU server to put under load"):
        settings_of(npu_url="http://n", baseline="b.zip", load_gpu="1")


def _record(path, *roles):
    made = [Device(role, role, None, role, "gpt-oss-20b", None, None, Capabilities()) for role in roles]
    devices = {each.name: ProbedDevice(each.name, each).document() for each in made}
    document = {"format": 2, "devices": devices, "facts": {}, "scenarios": []}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("baseline.json", json.dumps(document))


def test_a_recorded_cpu_is_used_unless_a_live_one_is_named(settings_of, tmp_path):
    _record(tmp_path / "b.zip", "gpu", "cpu")
    recorded = settings_of(npu_url="http://n", baseline="b.zip").devices
    assert [(each.name, each.recorded) for each in recorded] == [
        ("npu", False), ("gpu", True), ("cpu", True),
    ]  # fmt: skip
    live = settings_of(npu_url="http://n", baseline="b.zip", cpu_url="http://c").devices
    assert [(each.url, each.recorded) for each in live if each.name == "cpu"] == [("http://c", False)]


def test_a_baseline_without_a_gpu_or_of_another_model_is_refused(settings_of, tmp_path):
    _record(tmp_path / "none.zip", "cpu")
    with pytest.raises(UsageError, match=r"none\.zip: it holds no gpu"):
        settings_of(npu_url="http://n", baseline="none.zip")
    _record(tmp_path / "b.zip", "gpu")
    settings_of(npu_url="http://n", baseline="b.zip", gpu_model="gpt-oss-20b")
    with pytest.raises(UsageError, match=r"--gptoss-gpu-model is 'other'.*from 'gpt-oss-20b'"):
        settings_of(npu_url="http://n", baseline="b.zip", gpu_model="other")


def test_a_recording_goes_where_the_run_was_started(settings_of, tmp_path):
    settings = settings_of(npu_url="http://n", gpu_url="http://g", record="b.zip")
    assert settings.record == tmp_path / "b.zip"
