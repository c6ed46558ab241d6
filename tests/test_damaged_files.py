"""A stored run or a baseline with one thing changed: every mistake is told in a line, none is a traceback."""

import contextlib
import functools
import json
import os
import random
import shutil
import subprocess
import sys
import types
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from stored_runs import DEVICES, TASK, make_baseline, make_run, scenarios

from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import DamagedFile, UsageError
from pytest_gptoss.model.resources import acceptance_tests
from pytest_gptoss.plugin.session import Session
from pytest_gptoss.report.builders.findings import findings
from pytest_gptoss.report.files import read_document, write_reports
from pytest_gptoss.report.formats.markdown import markdown
from pytest_gptoss.run.baseline import read_baseline
from pytest_gptoss.run.instrument import instrument_errors
from pytest_gptoss.run.probed import probed_devices
from pytest_gptoss.run.replay import replayed
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios import corpus

CHANGES = 500
CHANGES_TO_DOCUMENT = 80
CHUNKS = 10
EVERY = CHANGES // CHUNKS
EVERYTHING = bool(os.environ.get("GPTOSS_TEST_EVERYTHING"))
"""Judge whatever becomes of a change, also what the reading step refuses: ten times as long."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The directory of a finished run; ``base.zip`` beside it is its baseline."""
    directory = tmp_path_factory.mktemp("stored") / "run-a"
    plan = make_run(directory)
    make_baseline(directory.with_name("base.zip"), directory, plan)
    return directory


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """Nothing here has to survive a power cut."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    monkeypatch.setattr(corpus, "load_shipped", functools.cache(corpus.load_shipped))


# -- one change -------------------------------------------------------------------------------

OTHERS = (
    None, True, False, 0, -1, 3, 2**31, 10**30, -0.5, 1e308, "", "x", "../../x", "npu", [], {}, [None],
    [[]], {"x": 1}, {"": None}, "\u0000", "\ud800", "9" * 400,
)  # fmt: skip
LITERALS = ("NaN", "Infinity", "-Infinity", "1e999", "-", "[" * 5000, "9" * 5000, '"\\u12"')


def _places(value, path=()):
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield from _places(each, (*path, key))


def _changed_json(text, draw):
    """The JSON with one value of another type, one key more or less, a list cut, or no JSON."""
    document = json.loads(text)
    places = list(_places(document))
    # As many changes high up, where the keys are, as deep down in lists of numbers.
    depth = draw.choice(sorted({len(place) for place in places}))
    path = draw.choice([place for place in places if len(place) == depth])
    if not path:
        return json.dumps(draw.choice(OTHERS)).encode()
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    how = draw.choice(("value", "value", "value", "gone", "more", "cut", "twice", "literal"))
    value = parent[path[-1]]
    if how == "gone":
        del parent[path[-1]]
    elif how == "more" and isinstance(parent, dict):
        parent["unknown key"] = draw.choice(OTHERS)
    elif how == "cut" and isinstance(value, list):
        del value[draw.randrange(len(value) + 1) :]
    elif how == "twice" and isinstance(parent, list):
        parent.append(value)
    elif how == "literal":
        parent[path[-1]] = "a literal"
        return json.dumps(document).replace('"a literal"', draw.choice(LITERALS), 1).encode()
    else:
        parent[path[-1]] = draw.choice(OTHERS)
    return json.dumps(document).encode()


def _changed_bytes(content, draw):
    how = draw.choice(("cut", "flip", "header", "longer", "empty", "text", "dtype", "shape"))
    if how == "cut":
        return content[: draw.randrange(len(content) + 1)]
    if how in ("flip", "header"):
        at = draw.randrange(min(len(content), 128) if how == "header" else len(content))
        return content[:at] + bytes([content[at] ^ (1 << draw.randrange(8))]) + content[at + 1 :]
    if how == "dtype":
        old, new = draw.choice(
            [(b"<f8", b"<i8"), (b"<f4", b"<i4"), (b"<i8", b"<f8"), (b"<i4", b"<f4"), (b"<", b"|")]
        )
        return content.replace(old, new, 1)
    if how == "shape":
        return content.replace(
            b"'shape': (", b"'shape': (" + draw.choice([b"9", b"-", b"1, ", b"99999999999"]), 1
        )
    return {"longer": content + b"\0" * 8, "empty": b"", "text": b"no array"}[how]


def _change(content, name, draw):
    if not content:
        return b"\xff"
    return (
        _changed_json(content, draw)
        if name.endswith(".json") and draw.random() < 0.9
        else _changed_bytes(content, draw)
    )


# -- what becomes of it -----------------------------------------------------------------------


def _session(settings):
    """A session as the plugin has it, without pytest around it."""
    quiet = lambda **_: []  # noqa: E731
    hook = types.SimpleNamespace(
        pytest_gptoss_prompt_sets=quiet, pytest_gptoss_thresholds=quiet, pytest_gptoss_report=quiet
    )
    manager = types.SimpleNamespace(get_plugin=lambda name: None, hasplugin=lambda name: False)
    config = types.SimpleNamespace(
        hook=hook, pluginmanager=manager, rootpath=Path(), stash={}, getoption=lambda name, default: default
    )
    return Session(config, settings)


def _judge(session, rows=None):
    """Judge the rows, None is all, and write down what the reports show; returns the verdicts by status."""
    found = Counter()
    for threshold_id in rows or session.run.plan.thresholds:
        verdict = session.run.verdict("npu", threshold_id)
        session.asking.keep(verdict)
        assert "\n" not in verdict.reason
        found[verdict.status] += 1
    written = []
    session.reporting._write = lambda document: written.append(markdown(document))
    session.reporting.conclude("finished")
    assert session.problems.lines == []
    assert written[-1]
    return found


def _replay(directory, report, rows=None):
    """Replay a run as pytest does; returns the verdicts by status, or the one line that refuses it."""
    try:
        return _judged(directory, report, rows)[1]
    except (UsageError, pytest.UsageError) as error:
        _is_a_line(str(error))
        return str(error)


def _judged(directory, report, rows=None):
    session = _session(replayed(Settings(replay=directory, report=report)))
    session.telling.header()
    session.begin()
    try:
        session.telling.devices_found()
        return session, _judge(session, rows)
    finally:
        session.run.close()


def _with_baseline(path, stored, report):
    """Judge the run's NPU against a baseline file."""
    gpu = DeviceSettings("gpu", "gpu", None, recorded=True)
    try:
        devices = (DEVICES[0], gpu)
        session = _session(
            Settings(devices=devices, profile="embedded", load=TASK, baseline=path, report=report)
        )
        session.begin()
    except (UsageError, pytest.UsageError) as error:
        return str(error)
    try:
        own = Store(stored / "run")
        for scenario in scenarios(session.run.plan):
            if scenario.device == "npu":
                session.run.store.save(own.load(scenario.id))
        recorded = session.run.baseline.devices["gpu"]
        npu = own.load_document("devices")[0]
        session.run.store.save_document("devices", [npu, recorded.document()])
        return _judge(session)
    finally:
        session.run.close()


def test_unchanged_they_are_judged(stored, tmp_path):
    replay = _replay(stored, tmp_path / "replay")
    assert replay["PASS"] > 35
    against = _with_baseline(stored.with_name("base.zip"), stored, tmp_path / "against")
    assert against["PASS"] > 35


def _files(directory):
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


# -- every change -----------------------------------------------------------------------------


NEVER_READ = {"run/id.json", "run/logs.json", "run/selected.json"}
"""What a replay makes anew, or has no use for."""


def test_what_a_replay_never_reads_may_be_anything(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "run-a")
    for name in NEVER_READ:
        (tmp_path / "run-a" / name).write_text("[[[")
    assert _replay(tmp_path / "run-a", tmp_path / "report")["PASS"] > 35


def _refused(directory, name):
    """Whether a file of a run is refused by the step that reads it, which every use of it goes through."""
    store = Store(directory / "run")
    try:
        if "measurements/" in name:
            store.read(_scenario(name))
        elif name == "run/run.json":
            replayed(Settings(replay=directory))
        elif name == "run/devices.json":
            probed_devices(store)
        elif name == "run/instrument.json":
            instrument_errors(store)
    except (DamagedFile, UsageError) as error:
        _is_a_line(str(error))
        return True
    return False


def _scenario(name):
    stem = Path(name).name.removesuffix(".json").removesuffix(".npy")
    return stem if name.endswith(".json") else stem.rpartition(".")[0]


def _is_a_line(text):
    assert len(text) < 600
    assert "\n" not in text


@pytest.fixture(scope="module")
def read_by(stored, tmp_path_factory):
    """Scenario id -> the rows whose verdicts read it; rows that only rest on these are not among them."""
    session = _session(replayed(Settings(replay=stored, report=tmp_path_factory.mktemp("read") / "report")))
    found, load = {}, Store.load
    with pytest.MonkeyPatch.context() as patch:
        row = None

        def noted(store, scenario_id):
            found.setdefault(scenario_id, {})[row] = None
            return load(store, scenario_id)

        session.telling.header()
        session.begin()
        session.telling.devices_found()
        patch.setattr(Store, "load", noted)
        for row in session.run.plan.thresholds:  # ``noted`` reads it
            session.run.verdict("npu", row)
        session.run.close()
    found = {scenario: [each for each in rows if each is not None] for scenario, rows in found.items()}
    one_each = {each.rpartition(".")[0]: each for each in session.run.plan.thresholds}
    return {scenario: list(dict.fromkeys([*rows, *one_each.values()])) for scenario, rows in found.items()}


def test_every_measurement_is_read_by_a_row(stored, read_by):
    names = {_scenario(name) for name in _files(stored) if "measurements/" in name}
    assert names <= set(read_by)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_change_to_a_file_ends_in_a_traceback(chunk, stored, read_by, tmp_path):
    """Of 500 changes, three quarters are to a run's files and one to a baseline's.

    What the reading step refuses ends in the same place whatever was wrong. What it lets through is judged:
    of a measurement all rows that read it and one of each other group, of any other file all rows.
    """
    told = Counter()
    for seed in range(chunk * EVERY, (chunk + 1) * EVERY):
        draw = random.Random(seed)
        with _told_of(seed):
            work = tmp_path / f"{seed}"
            if seed % 4:
                outcome = _change_run(stored, work, draw, read_by)
            else:
                outcome = _change_baseline(stored, work, draw)
        told["refused" if outcome is None or isinstance(outcome, str) else "judged"] += 1
    assert told["refused"] > EVERY // 4
    assert told["judged"]


@contextlib.contextmanager
def _told_of(seed):
    try:
        yield
    except BaseException:
        print(f"seed {seed}")
        raise


def _change_run(stored, work, draw, read_by):
    kinds = {}
    for name in set(_files(stored)) - NEVER_READ:
        kind = Path(name).name.partition("-")[0].partition(".")[0] + Path(name).suffix
        kinds.setdefault(kind, []).append(name)
    name = draw.choice(sorted(kinds[draw.choice(sorted(kinds))]))
    shutil.copytree(stored, work / "run-a", copy_function=os.link)
    path = work / "run-a" / name
    content = _change(path.read_bytes(), name, draw)
    path.unlink()  # the link alone: the stored run stays as it is
    path.write_bytes(content)
    if not EVERYTHING and _refused(work / "run-a", name):
        return None
    rows = read_by[_scenario(name)] if "measurements/" in name and not EVERYTHING else None
    return _replay(work / "run-a", work / "report", rows)


def _change_baseline(stored, work, draw):
    work.mkdir()
    with zipfile.ZipFile(stored.with_name("base.zip")) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = draw.choice(["baseline.json", draw.choice(sorted(members))])
    members[name] = _change(members[name], name, draw)
    if draw.random() < 0.1:
        del members[name]
    with zipfile.ZipFile(work / "base.zip", "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    if draw.random() < 0.1:
        content = (work / "base.zip").read_bytes()
        (work / "base.zip").write_bytes(_changed_bytes(content, draw))
    store = Store(work / "run")
    store.begin()
    try:
        baseline = read_baseline(work / "base.zip")
        baseline.fill(store, ["gpu"])
    except UsageError as error:
        _is_a_line(str(error))
        return None
    return _with_baseline(work / "base.zip", stored, work / "report")


def test_no_change_to_a_report_document_ends_in_a_traceback(stored, tmp_path):
    session, _ = _judged(stored, tmp_path / "report")
    content = json.dumps(session.reporting.document).encode()
    told = Counter()
    for seed in range(CHANGES_TO_DOCUMENT):
        draw = random.Random(seed)
        (tmp_path / "acceptance.json").write_bytes(_change(content, "acceptance.json", draw))
        with _told_of(seed):
            told[_rendered(tmp_path, with_html=seed % 10 == 0)] += 1
    assert told["refused"] > CHANGES_TO_DOCUMENT // 4
    assert told["rendered"] > 10


def _rendered(directory, *, with_html):
    try:
        document = read_document(directory)
    except UsageError as error:
        _is_a_line(str(error).replace(str(directory), ""))
        return "refused"
    more = ("html",) if with_html else ()
    write_reports(directory, document, names=("md", "junit", "json", *more), language="zh")
    return "rendered"


def test_a_damaged_info_metric_says_so_as_its_finding(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "run-a")
    path = tmp_path / "run-a" / "run" / "info-npu-edges.json"
    kept = json.loads(path.read_text())
    roles = Roles(subject="npu", gpu="gpu", cpu=None, prompt_ids_of=None, trials=1, first=None)
    for damaged in ("[", "3", json.dumps({**kept, "n": "4"}), json.dumps({**kept, "details": {"edges": 1}})):
        path.write_text(damaged)
        found = findings(Store(path.parent), [roles], [], info=["edges"])
        (note,) = (each for each in found["notes"] if each.startswith("edges is not known: "))
        _is_a_line(note)
        assert found["edges"] == []


@pytest.mark.parametrize("name", ["run/devices.json", "run/instrument.json", "run/log-findings.json",
                                  "run/measurements/preflight-npu.json",
                                  "run/measurements/load-npu-c01-t0.requests.npy"])  # fmt: skip
def test_what_is_damaged_is_named_in_the_reports_and_the_rest_is_judged(name, stored, tmp_path):
    shutil.copytree(stored, tmp_path / "run-a")
    (tmp_path / "run-a" / name).write_text("[1, null]")
    session, found = _judged(tmp_path / "run-a", tmp_path / "report")
    assert name.removeprefix("run/") in json.dumps(session.reporting.document)
    assert found["INVALID"] or name == "run/log-findings.json"


def test_pytest_itself_tells_it_in_a_line(stored, tmp_path):
    """The whole way once: a damaged measurement is INVALID, a damaged run.json a usage error."""
    shutil.copytree(stored, tmp_path / "run-a")
    (tmp_path / "run-a" / "run" / "measurements" / "hidden-npu.json").write_text('{"kind": 1}')
    done = _pytest(tmp_path, "-k", "hidden")
    assert done.returncode == 1
    assert "run/measurements/hidden-npu.json: " in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "INTERNALERROR" not in done.stdout + done.stderr
    (tmp_path / "run-a" / "run" / "run.json").write_text('{"format": 2, "devices": 3}')
    done = _pytest(tmp_path)
    assert done.returncode == 4
    assert "run/run.json: inputs: the key is missing" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def _pytest(cwd, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(acceptance_tests()), *arguments,
         f"--gptoss-replay={cwd / 'run-a'}", f"--gptoss-report={cwd / 'report'}"],
        cwd=cwd, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
