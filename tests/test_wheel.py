"""The source distribution and the wheel built from it: whole, described, able to accept a server."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import pytest_gptoss

ROOT = Path(__file__).resolve().parents[1]


EXTRAS_ALONE = ("torch", "transformers", "jinja2", "matplotlib", "uvloop", "openai_harmony")
"""Modules that only extras bring."""
NO_INDEX = re.compile(r"NewConnectionError|ConnectTimeoutError|NameResolutionError|SocketBlockedError")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the source distribution and the wheel built from it."""
    folder = tmp_path_factory.mktemp("built")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory):
    """The interpreter of an environment that holds the wheel and what it requires, no extra."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=120)
    python = folder / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    if done.returncode and NO_INDEX.search(done.stderr):
        pytest.skip("no package index can be reached: nothing is installed")
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder that holds the wheel's content, as site-packages would."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _pytest(installed, cwd, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=280, check=False,
        env={**os.environ, "PYTHONPATH": str(installed)},
    )  # fmt: skip


def test_the_wheel_ships_every_shipped_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for shipped in (
        "pytest_gptoss/py.typed",
        "pytest_gptoss/acceptance/test_needle.py",
        "pytest_gptoss/acceptance/test_precision.py",
        "pytest_gptoss/data/tiny-gpt-oss/model.safetensors",
        "pytest_gptoss/data/tiny-gpt-oss/o200k_base.tiktoken",
        "pytest_gptoss/data/tiny-gpt-oss/LICENSE.o200k_base",
        "pytest_gptoss/data/prompts/default.json",
        "pytest_gptoss/data/corpus/default.json",
        "pytest_gptoss/config/profiles/atlas-800-a2.toml",
        "pytest_gptoss/judge/known_defects.toml",
        "pytest_gptoss/report/schemas/acceptance-1.schema.json",
        "pytest_gptoss/report/messages.json",
        "pytest_gptoss/report/templates/acceptance.html.j2",
        "pytest_gptoss/report/templates/acceptance.css",
    ):
        assert shipped in names
    assert not [name for name in names if name.startswith(("tests/", "tools/"))]


def test_the_source_distribution_holds_what_the_tests_read(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for shipped in (
        "Makefile", "README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md", "conftest.py",
        "docs/gallery.md", "docs/assets/report.png", "tools/environment.sh", "tests/test_wheel.py",
        "fixtures/tiny-gpt-oss/model.safetensors", "pytest_gptoss/py.typed", "benchmarks/detection.md",
    ):  # fmt: skip
        assert shipped in names
    assert not [name for name in names if name.endswith(".pyc")]


def test_twine_finds_no_fault(built):
    pytest.importorskip("twine", reason="twine is not installed: the extra dev brings it")
    files = [str(path) for path in built.iterdir() if path.suffix in (".whl", ".gz")]
    done = subprocess.run(
        [sys.executable, "-m", "twine", "--no-color", "check", "--strict", *files],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_metadata_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        told = Parser().parsestr(archive.read(name).decode("utf-8"))
    assert told["Version"] == pytest_gptoss.__version__
    assert told["License-Expression"] == "Apache-2.0"
    assert {"pytest", "vllm", "gpt-oss", "ascend"} <= set(told["Keywords"].split(","))
    urls = dict(each.split(", ") for each in told.get_all("Project-URL"))
    assert {"Homepage", "Documentation", "Changelog", "Issues"} <= set(urls)
    classifiers = told.get_all("Classifier")
    for wanted in (
        "Framework :: Pytest",
        "Development Status :: 4 - Beta",
        "Programming Language :: Python :: 3.13",
    ):
        assert wanted in classifiers
    required = [each for each in told.get_all("Requires-Dist") if "extra ==" not in each]
    assert not [each for each in required if re.match(r"torch|transformers|jinja2|matplotlib|uvloop", each)]


def test_pyargs_collects_the_same_rows(installed, tmp_path):
    done = _pytest(
        installed, tmp_path, "--pyargs", "pytest_gptoss.acceptance", "--collect-only", "-q",
        "--npu-url=http://127.0.0.1:9",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_precision[npu-precision.token_match_rate]" in done.stdout
    where = subprocess.run(
        [sys.executable, "-c", "import pytest_gptoss; print(pytest_gptoss.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(installed)},
    )  # fmt: skip
    assert where.stdout.startswith(str(installed))


def test_the_installed_package_accepts_a_pair(installed, tmp_path, embedded_pair):
    done = _pytest(
        installed, tmp_path, "--pyargs", "pytest_gptoss.acceptance", "-k", "hidden",
        "--gptoss-profile=embedded", f"--npu-url={embedded_pair['npu']}", f"--gpu-url={embedded_pair['gpu']}",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_it_accepts_a_server_from_an_environment_without_extras(clean, tmp_path, embedded_pair):
    """The servers run in this environment, which has the extra ``reference``."""
    there = subprocess.run(
        [clean, "-c", f"import importlib.util as u; print([n for n in {EXTRAS_ALONE} if u.find_spec(n)])"],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert there.stdout.strip() == "[]"
    done = subprocess.run(
        [
            clean, "-m", "pytest", "-p", "no:cacheprovider", "--pyargs", "pytest_gptoss.acceptance",
            "-k", "hidden or ready or smoke_hi", "--gptoss-profile=embedded",
            f"--npu-url={embedded_pair['npu']}", f"--gpu-url={embedded_pair['gpu']}",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    for name in ("acceptance.json", "acceptance.md"):
        assert (tmp_path / "gptoss-report" / name).is_file()
