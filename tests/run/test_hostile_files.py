"""Baselines, hidden states and runs made by somebody else: nothing is written outside, nothing huge read."""

import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pytest

from pytest_gptoss.model.errors import MeasurementError, UsageError
from pytest_gptoss.model.results import DriftPoint, HiddenStates, Measurement, ScoredSequence, TopLogprobs
from pytest_gptoss.run import baseline
from pytest_gptoss.run.baseline import read_baseline, record_baseline
from pytest_gptoss.run.store import Store, StoreError
from pytest_gptoss.scenarios import hidden_file
from pytest_gptoss.scenarios.hidden_file import read_hidden, write_hidden

DEVICES = {"gpu": {"name": "gpu"}}


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "report" / "run")
    store.begin()
    return store


@pytest.fixture
def sound(store, tmp_path):
    """The members of a sound baseline, by name."""
    top = TopLogprobs(np.ones((2, 3), np.int32), -np.ones((2, 3), np.float32))
    item = ScoredSequence("s", (5, 6, 7), 1, np.array([-1.0, -2.0]), top)
    store.save(Measurement("forced-gpu-of-gpu", "gpu", (item,)))
    record_baseline(tmp_path / "sound.zip", store, DEVICES, {})
    with zipfile.ZipFile(tmp_path / "sound.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _files(directory):
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def _fill(path, tmp_path):
    """Fill a new run from a file; returns the files that this has made anywhere below."""
    store = Store(tmp_path / "filled" / "run")
    store.begin()
    before = _files(tmp_path)
    try:
        read_baseline(path).fill(store, ["gpu"])
    finally:
        made = _files(tmp_path) - before
        assert all(each.startswith("filled/run/measurements/") for each in made), made
    return made


def _edited(members, **changes):
    document = json.loads(members["baseline.json"])
    return {**members, "baseline.json": json.dumps({**document, **changes})}


@pytest.mark.parametrize(
    "scenario_id",
    [
        "../../../x", "/tmp/x", "..", "", "forced-gpu-/../../../x", "forced-gpu-..\\..\\x", "C:\\x",
        "forced-gpu-x:stream", "forced-gpu-\0", "forced-gpu-" + "x" * 300, "x-gpu", "forced-npu-of-gpu",
    ],
)  # fmt: skip
def test_a_scenario_is_a_name_and_never_a_path(scenario_id, sound, tmp_path):
    head = sound["measurements/forced-gpu-of-gpu.json"]
    members = {**_edited(sound, scenarios=[scenario_id]), f"measurements/{scenario_id}.json": head}
    path = _zip(tmp_path / "hostile.zip", members)
    with pytest.raises(
        UsageError, match=r"--gptoss-baseline hostile\.zip: damaged \(baseline\.json: .*record"
    ):
        _fill(path, tmp_path)


@pytest.mark.parametrize("name", ["../../x", "/x", "states", "logprobs.npy", ""])
def test_an_array_has_one_of_the_names_that_are_written(name, sound, tmp_path):
    head = json.loads(sound["measurements/forced-gpu-of-gpu.json"])
    head["arrays"] = [*head["arrays"], name]
    members = {
        **sound,
        "measurements/forced-gpu-of-gpu.json": json.dumps(head),
        f"measurements/forced-gpu-of-gpu.{name}.npy": sound["measurements/forced-gpu-of-gpu.logprobs.npy"],
    }
    with pytest.raises(UsageError, match="ScoredSequence has no array"):
        _fill(_zip(tmp_path / "hostile.zip", members), tmp_path)


def test_members_that_nobody_asked_for_stay_inside(sound, tmp_path):
    members = {**sound, "../escaped": b"x", "/etc/escaped": b"x", "measurements/../../escaped": b"x"}
    made = _fill(_zip(tmp_path / "more.zip", members), tmp_path)
    assert made == {f"filled/run/{name}" for name in sound if name != "baseline.json"}


def test_a_baseline_brings_nothing_for_the_device_under_test(sound, tmp_path):
    head = json.loads(sound["measurements/forced-gpu-of-gpu.json"])
    devices = {**DEVICES, "npu": {"name": "npu"}}
    members = {
        **_edited(sound, scenarios=["forced-npu-of-gpu"], devices=devices),
        "measurements/forced-npu-of-gpu.json": json.dumps({**head, "scenario_id": "forced-npu-of-gpu"}),
    }  # fmt: skip
    with pytest.raises(UsageError, match=r"devices\.npu: a baseline holds gpu and cpu"):
        _fill(_zip(tmp_path / "forged.zip", members), tmp_path)
    members = _edited(sound, devices={"gpu": {"name": "npu"}})
    with pytest.raises(UsageError, match=r"devices\.gpu: a baseline holds gpu and cpu"):
        _fill(_zip(tmp_path / "forged.zip", members), tmp_path)


def test_what_unpacks_to_too_much_is_refused_before_it_is_read(sound, tmp_path, monkeypatch):
    array = io.BytesIO()
    np.save(array, np.zeros((2000, 3), np.float32))
    bomb = {**sound, "measurements/forced-gpu-of-gpu.top_logprobs.npy": array.getvalue()}
    path = _zip(tmp_path / "bomb.zip", bomb)
    monkeypatch.setattr(baseline, "LARGEST_ARRAY", 10_000)
    with pytest.raises(UsageError, match=r"top_logprobs\.npy: 0 MiB unpacked, at most 0 MiB are read"):
        _fill(path, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(baseline, "LARGEST_TOTAL", 10_000)
    with pytest.raises(UsageError, match="more than 0 MiB unpacked"):
        _fill(path, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(baseline, "LARGEST_JSON", 10)
    with pytest.raises(UsageError, match=r"baseline\.json: .* unpacked"):
        _fill(path, tmp_path)


def _bomb(name, size):
    """A zip of a few KB whose one member says that it unpacks to ``size`` bytes, and would do so."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packed.compress(bytes(1 << 20)) + packed.flush()
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(data), size, len(name), 0) + name
    at = len(local) + len(data)
    central = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, len(data), size, len(name), 0, 0, 0, 0, 0, 0
    ) + name  # fmt: skip
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), at, 0)
    return local + data + central + end


@pytest.mark.parametrize("size", [3 << 30, 1 << 20])
def test_a_bomb_of_three_gigabytes_is_no_baseline(size, tmp_path):
    (tmp_path / "bomb.zip").write_bytes(_bomb(b"baseline.json", size))
    with pytest.raises(UsageError, match=r"bomb\.zip: not a recorded baseline"):
        read_baseline(tmp_path / "bomb.zip")


def test_hidden_states_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    (tmp_path / "bomb.npz").write_bytes(_bomb(b"states.npy", 3 << 30))
    with pytest.raises(
        MeasurementError, match=r"bomb\.npz: not a file of hidden states \(states\.npy: 3221225472"
    ):
        _read_hidden(tmp_path / "bomb.npz")
    write_hidden(tmp_path / "own.npz", [HiddenStates("a", (1, 2), np.ones((2, 4), np.float32))], FACTS)
    assert len(_read_hidden(tmp_path / "own.npz").items) == 1
    monkeypatch.setattr(hidden_file, "LARGEST", 100)
    with pytest.raises(MeasurementError, match="at most 100 are read"):
        _read_hidden(tmp_path / "own.npz")


FACTS = {"corpus_sha256": "a" * 64}


def _read_hidden(path):
    return read_hidden(path, scenario_id="hidden-npu", device="npu", corpus_sha256="a" * 64)


def _npy(header):
    text = header.encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "states",
    [
        _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 2880), }\n"),
        _npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n") + b"cos\nsystem\n(S'true'\ntR.",
        _npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (0,), }\n"),
        _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1), }\n") + bytes(4),
        _npy("{'descr': '<f4', "),
        b"\x93NUMPY\7\0",
        b"",
    ],
)
def test_an_array_that_lies_about_itself_is_neither_allocated_nor_run(states, tmp_path):
    write_hidden(tmp_path / "own.npz", [HiddenStates("a", (1, 2), np.ones((2, 4), np.float32))], FACTS)
    with zipfile.ZipFile(tmp_path / "own.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path = _zip(tmp_path / "lie.npz", {**members, "states.npy": states})
    with pytest.raises(MeasurementError, match=r"lie\.npz: not a file of hidden states \(states\.npy: "):
        _read_hidden(path)


def test_an_array_in_a_store_that_lies_about_itself_is_a_failure_of_its_measurement(store):
    item = ScoredSequence(
        "s", (5, 6), 1, np.array([-1.0]), TopLogprobs(np.ones((1, 1), np.int32), -np.ones((1, 1)))
    )
    store.save(Measurement("forced-gpu-of-gpu", "gpu", (item,)))
    path = store.measured / "forced-gpu-of-gpu.logprobs.npy"
    path.write_bytes(_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }\n") + bytes(8))
    read = Store(store.directory).load("forced-gpu-of-gpu")
    assert (read.items, read.complete, read.failures[0].kind) == ((), False, "damaged")
    assert read.failures[0].message.startswith("run/measurements/forced-gpu-of-gpu.logprobs.npy: ")


def test_a_run_with_links_is_not_adopted(store, tmp_path):
    store.save(Measurement("drift-npu-1", "npu", (DriftPoint(1, 1, 1, "0f", -1.0),)))
    (store.directory / "lock").symlink_to(tmp_path / "outside")
    for place in (store.directory, tmp_path / "new" / "run"):
        with pytest.raises(StoreError, match=r"lock: a link, which no run makes"):
            Store(place).adopt(store.directory)
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("content", [b"null", b"[]", b"{", b"\xff", b"NaN", b"[" * 100_000, b""])
def test_a_file_without_a_measurement_is_a_failure_and_not_one_that_was_never_made(content, store):
    (store.measured / "drift-npu-1.json").write_bytes(content)
    read = store.load("drift-npu-1")
    assert (read.items, read.failures[0].kind) == ((), "damaged")
    assert len(read.failures[0].message.splitlines()) == 1
