"""The built wheel holds all it needs, and runs the acceptance as an installed package does."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


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
