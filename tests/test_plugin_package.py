"""Another package's metric, threshold and profile: installed, planned, judged; a bad one is a usage error."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import stored_runs

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.judge import installed
from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.errors import UsageError

PACKAGE = Path(__file__).parent / "plugin_package"
TESTS = Path(__file__).parent / "acceptance"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the package installed in it, as site-packages would have it."""
    folder = tmp_path_factory.mktemp("acme")
    source = shutil.copytree(PACKAGE, folder / "source")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index",
         "--disable-pip-version-check", "--target", str(folder / "site"), str(source)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return folder / "site"


def _pytest(site, cwd, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(TESTS), "-k", "answer_length",
         "--gptoss-profile=acme", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip


def test_the_row_of_an_installed_package_is_judged(site, tmp_path):
    stored_runs.make_run(tmp_path / "run-a")
    report = tmp_path / "report"
    done = _pytest(site, tmp_path, f"--gptoss-replay={tmp_path / 'run-a'}", f"--gptoss-report={report}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    document = json.loads((report / "acceptance.json").read_text("utf-8"))
    (row,) = (each for each in document["verdicts"] if each["threshold_id"] == "acme.answer_length")
    assert row["verdict"] == "PASS"


def test_the_row_of_an_installed_package_is_judged_live(tmp_path):
    """In an environment of its own, by a run of the embedded pair: one row, on one prompt."""
    python = _environment(tmp_path / "venv")
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps(["What is the capital of France?"]))
    report = tmp_path / "report"
    done = subprocess.run(
        [python, "-m", "pytest", "-p", "no:cacheprovider", str(TESTS), "--embedded", "--gptoss-profile=acme",
         "-k", "answer_length", f"--gptoss-prompts={prompts}", f"--gptoss-report={report}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    document = json.loads((report / "acceptance.json").read_text("utf-8"))
    (row,) = (each for each in document["verdicts"] if each["threshold_id"] == "acme.answer_length")
    assert (row["verdict"], row["n"], row["limit"]) == ("PASS", 1, 256)
    assert 0 < row["value"] <= 256


def _environment(folder):
    """An environment with the package in it, which sees what this one has beside; returns its Python."""
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    inside = Path(
        subprocess.run([python, "-c", purelib], capture_output=True, text=True, check=True).stdout.strip()
    )
    here = sysconfig.get_path("purelib")
    (inside / "beside.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    source = shutil.copytree(PACKAGE, folder / "source")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps",
         "--no-build-isolation", "--no-index", "--disable-pip-version-check", str(source)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    return str(python)


def test_the_package_is_not_there_where_it_is_not_installed(tmp_path):
    done = _pytest("", tmp_path, "--npu-url=http://127.0.0.1:9", "--collect-only")
    assert done.returncode == 4
    assert "--gptoss-profile is 'acme': there is no such profile" in done.stdout + done.stderr


def _one(**_):
    return None


NOT_NAMED_SO = Metric("other", _one, lambda _: {})
NO_TOML = stored_runs.__file__
ACME = Path(__file__).parent / "plugin_package" / "acme_gptoss" / "acme.toml"


@pytest.fixture
def bring(monkeypatch):
    """Entry points of no package, as if one were installed: (group, name, object of this module)."""

    def bringing(*entries):
        found = [EntryPoint(name, f"{__name__}:{value}", f"pytest_gptoss.{group}")
                 for group, name, value in entries]  # fmt: skip
        monkeypatch.setattr(
            installed, "entry_points", lambda *, group: [each for each in found if each.group == group]
        )

    return bringing


def test_a_run_without_the_row_imports_no_package(bring):
    bring(("metrics", "broken", "nothing"), ("profiles", "broken", "nothing"))
    make_plan(Settings())


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("metrics", "broken", "nothing"), "metric 'broken' of package .*does not load .*uninstall"),
        (("metrics", "broken", "NOT_NAMED_SO"), "must be a Metric called 'broken', or a function"),
        (("metrics", "broken", "_one"), "must be a Metric called 'broken', or a function"),
    ],
)
def test_a_bad_metric_is_a_usage_error(entry, message, bring):
    bring(entry)
    with pytest.raises(UsageError, match=message):
        installed.installed_metric("broken")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nothing", "profile 'broken' of package .*does not load"),
        ("NO_TOML", "profile 'broken' of package .*not a TOML file"),
        ("_one", "profile 'broken' of package .*cannot be read"),
    ],
)
def test_a_bad_profile_is_a_usage_error(value, message, bring):
    bring(("profiles", "broken", value))
    with pytest.raises(UsageError, match=message):
        load_profile("broken")


@pytest.mark.parametrize("entry", [("metrics", "kl", "_one"), ("metrics", "ttft.c16", "_one"),
                                   ("profiles", "embedded", "_one")])  # fmt: skip
def test_a_name_that_is_taken_is_a_usage_error(entry, bring):
    bring(entry)
    with pytest.raises(UsageError, match=r"has a name that pytest-gptoss has already: .*uninstall"):
        make_plan(Settings())


def test_a_name_that_two_packages_bring_is_a_usage_error(bring):
    bring(("metrics", "acme", "_one"), ("metrics", "acme", "NOT_NAMED_SO"))
    with pytest.raises(UsageError, match="brings one of this name too"):
        make_plan(Settings())


def test_a_profile_extends_another(bring):
    bring(("profiles", "acme", "ACME"))
    own, base = load_profile("acme"), load_profile("embedded")
    assert set(own.thresholds) - set(base.thresholds) == {"acme.answer_length"}
    assert own.workload == base.workload


def test_a_profile_that_extends_none_or_itself_is_a_usage_error(bring, tmp_path, monkeypatch):
    path = tmp_path / "own.toml"
    monkeypatch.setitem(globals(), "OWN", path)
    bring(("profiles", "own", "OWN"))
    for base in ("own", "none"):
        path.write_text(f'extends = "{base}"')
        with pytest.raises(UsageError, match=f"'own', which extends '{base}': there is no such profile"):
            load_profile("own")
    for text in ("thresholds = 3", '[thresholds."a.b"]\nlimit = 1', "[workload]\nprompts = 3"):
        path.write_text(text)
        with pytest.raises(UsageError, match="profile 'own' is incomplete"):
            load_profile("own")


def test_a_needle_cell_is_a_row_of_a_profile(bring, tmp_path, monkeypatch):
    """Of any depth and length; the full grid keeps a table's own cells beside those of its depths."""
    path = tmp_path / "own.toml"
    path.write_text(
        'extends = "embedded"\n[thresholds."needle.recall.d033-300"]\nfamily = "needle"\n'
        'metric = "needle_recall.d033-300"\nstatistic = "rate"\ncomparison = ">="\nlimit = 0.9\n'
        'unit = "share"\ntier = "assurance"\nsource = "ours"\n'
    )
    monkeypatch.setitem(globals(), "OWN", path)
    bring(("profiles", "own", "OWN"))
    plan = make_plan(Settings(profile="own"))
    assert plan.needle_lengths == (256, 300, 512, 1024, 2048, 4096)
    assert "needle_edge.d033-300" in plan.info_names
    grid = load_profile("own", full_needle_grid=True).thresholds
    assert [key for key in grid if key.endswith("-300")] == [
        f"needle.recall.d{depth}-300" for depth in ("000", "025", "033", "050", "075", "100")
    ]
    assert grid["needle.recall.d033-300"] == plan.thresholds["needle.recall.d033-300"]
