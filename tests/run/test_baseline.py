"""A recorded baseline: only what is whole, only of the devices wanted, and never instead of a better one."""

import zipfile

import numpy as np
import pytest

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.results import Failure, Measurement, ScoredSequence, TopLogprobs
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.run.baseline import read_baseline, record_baseline
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Preflight

DEVICES = {"gpu": {"name": "gpu"}, "cpu": {"name": "cpu"}}


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "run")
    store.begin()
    return store


def scores(device, **more):
    top = TopLogprobs(np.ones((2, 3), np.int32), -np.ones((2, 3), np.float32))
    item = ScoredSequence("s", (5, 6, 7), 1, np.array([-1.0, -2.0]), top)
    return Measurement(f"forced-{device}-of-gpu", device, (item,), **more)


def preflight(device):
    return Measurement(Preflight(device).id, device, (ServerFacts("r", (), 0.0, ()),))


def test_whole_measurements_of_the_devices_come_back_with_their_arrays(store, tmp_path):
    for each in (scores("npu"), scores("gpu"), scores("cpu")):
        store.save(each)
    store.save(Measurement("hidden-gpu", "gpu", (), (Failure("*", "connect", "gone"),)))
    kept = record_baseline(tmp_path / "base.zip", store, DEVICES, {"max_tokens": 1})
    assert kept == ("forced-cpu-of-gpu", "forced-gpu-of-gpu")
    again = Store(tmp_path / "again" / "run")
    again.begin()
    read_baseline(tmp_path / "base.zip").fill(again, ["gpu"])
    assert again.scenario_ids() == ("forced-gpu-of-gpu",)
    np.testing.assert_array_equal(again.load("forced-gpu-of-gpu").items[0].logprobs, [-1.0, -2.0])


@pytest.mark.parametrize("measured", [[], [preflight("gpu")], [preflight("gpu"), scores("npu")]])
def test_with_nothing_to_keep_an_earlier_file_stays(store, tmp_path, measured):
    for each in measured:
        store.save(each)
    (tmp_path / "base.zip").write_bytes(b"good")
    assert record_baseline(tmp_path / "base.zip", store, DEVICES, {}) == ()
    assert (tmp_path / "base.zip").read_bytes() == b"good"


def test_a_write_that_fails_leaves_the_earlier_file_and_no_scrap(store, tmp_path):
    store.save(scores("gpu"))
    (tmp_path / "base.zip").write_bytes(b"good")
    with pytest.raises(TypeError, match="not JSON serializable"):
        record_baseline(tmp_path / "base.zip", store, DEVICES, {"bad": object()})
    assert (tmp_path / "base.zip").read_bytes() == b"good"
    assert not list(tmp_path.glob(".*.part"))


def test_a_damaged_file_is_a_usage_error(store, tmp_path):
    with zipfile.ZipFile(tmp_path / "base.zip", "w") as archive:
        archive.writestr(
            "baseline.json", '{"format": 2, "devices": {"gpu": {}}, "facts": {}, "scenarios": ["forced-gpu"]}'
        )
    with pytest.raises(UsageError, match=r"base\.zip: damaged"):
        read_baseline(tmp_path / "base.zip").fill(store, ["gpu"])


@pytest.mark.parametrize(
    "stated", ["", '"format": 1, ', '"format": 3, ', '"format": "2", ', '"format": null, ']
)
def test_a_file_of_another_format_is_to_be_recorded_again(stated, tmp_path):
    with zipfile.ZipFile(tmp_path / "base.zip", "w") as archive:
        archive.writestr(
            "baseline.json", f'{{{stated}"devices": {{"gpu": {{}}}}, "facts": {{}}, "scenarios": []}}'
        )
    with pytest.raises(UsageError, match=r"base\.zip: format .*, this version reads 2; record it again$"):
        read_baseline(tmp_path / "base.zip")
