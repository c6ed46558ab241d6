"""A user's ini and plugins do not reach our rows, and we break nothing of theirs."""

import os
import shutil
import subprocess
import sys

import pytest
from small_server import Hold, measured, small_server

from pytest_gptoss.model.resources import acceptance_tests

pytest_plugins = ["pytester"]

ROWS = ("-k", "ready or leakage")


def run(pytester, *arguments, ini="", rows=True, **environment):
    """pytest in a project with this ini, and a copy of the acceptance tests' place for its rows."""
    (pytester.path / "pytest.ini").write_text(f"[pytest]\n{ini}")
    where = [str(acceptance_tests())] if rows else []
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "pytest.ini", "--rootdir=.", "-p", "no:cacheprovider",
         "-p", "no:hypothesispytest", *where, *arguments],
        cwd=pytester.path, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert "INTERNALERROR" not in done.stdout + done.stderr, done.stdout
    return done


@pytest.mark.parametrize(
    "ini", ["python_files = check_*.py", "python_functions = check_*", "python_files =\npython_functions ="]
)
def test_rows_are_collected_whatever_tests_are_called_here(pytester, ini):
    pytester.path.joinpath("check_mine.py").write_text("def check_mine(): pass\n")
    asked = ("--npu-url=http://127.0.0.1:9", "--collect-only", "-q")
    usual = run(pytester, *asked)
    found = run(pytester, *asked, ini=ini)
    rows = [[line for line in each.stdout.splitlines() if "[npu-" in line] for each in (usual, found)]
    assert len(rows[0]) > 50
    assert rows[0] == rows[1]


def test_only_our_files_are_collected_so(pytester):
    pytester.makepyfile(test_mine="def test_mine(): pass")
    shutil.copy(acceptance_tests() / "test_preflight.py", pytester.path / "test_preflight.py")
    done = run(pytester, ".", "--collect-only", "-q", ini="python_files = check_*.py", rows=False)
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout


@pytest.mark.parametrize("how", [("--timeout=1",), ("--timeout=1", "--timeout-method=thread")])
def test_a_time_out_does_not_count_measuring_against_a_row(pytester, how):
    pytest.importorskip("pytest_timeout")
    with small_server(Hold(measured, 0, hold_s=2.0)) as npu:
        done = run(pytester, f"--npu-url={npu}", *ROWS, "--gptoss-profile=embedded", *how)
    assert "Timeout" not in done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.OK, done.stdout


@pytest.mark.parametrize("how", [("--disable-socket",), ("--allow-hosts=10.0.0.1",)])
def test_sockets_that_are_switched_off_leave_measuring_alone(pytester, how):
    pytest.importorskip("pytest_socket")
    with small_server() as npu:
        done = run(pytester, f"--npu-url={npu}", *ROWS, "--gptoss-profile=embedded", *how)
    assert done.returncode == pytest.ExitCode.OK, done.stdout


def test_sockets_of_other_tests_stay_switched_off(pytester):
    pytest.importorskip("pytest_socket")
    pytester.makepyfile("import socket\ndef test_mine(): socket.socket()")
    done = run(pytester, "--disable-socket", rows=False)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "SocketBlockedError" in done.stdout


@pytest.mark.parametrize(("ini", "flags"), [("filterwarnings = error", ()), ("", ("-W", "error"))])
def test_warnings_as_errors_end_no_suite(pytester, ini, flags):
    pytester.makepyfile("def test_mine(): pass")
    assert run(pytester, *flags, ini=ini, rows=False).returncode == pytest.ExitCode.OK
    with small_server() as npu:
        done = run(pytester, f"--npu-url={npu}", "-k", "ready", *flags, ini=ini)
    assert done.returncode == pytest.ExitCode.OK, done.stdout


ASYNC = """
import pytest

@pytest.mark.asyncio
async def test_client(npu_client):
    assert (await npu_client.get("/v1/models")).status_code == 200
"""


def test_the_async_client_works_where_warnings_are_errors(pytester):
    pytester.makepyfile(ASYNC)
    with small_server() as npu:
        done = run(pytester, f"--npu-url={npu}", "-W", "error", rows=False)
    assert done.returncode == pytest.ExitCode.OK, done.stdout


def test_without_autoload_rows_are_judged_and_the_async_client_says_what_it_needs(pytester):
    pytester.makepyfile("def test_client(npu_client): pass")
    off = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with small_server() as npu:
        rows = run(pytester, "-p", "pytest_gptoss.plugin", f"--npu-url={npu}", "-k", "ready", **off)
        client = run(pytester, "-p", "pytest_gptoss.plugin", f"--npu-url={npu}", rows=False, **off)
    assert rows.returncode == pytest.ExitCode.OK, rows.stdout
    assert client.returncode == pytest.ExitCode.TESTS_FAILED
    assert "npu_client needs pytest-asyncio" in client.stdout
