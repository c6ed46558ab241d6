"""Report directories on shares that know no permissions or no locks."""

import errno
import fcntl
import json
import os
import sys

import pytest
from small_server import small_server
from starting import started_as_a_terminal_does

from pytest_gptoss.model.atomic_files import write_text
from pytest_gptoss.run.store import Store, StoreError

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows locks by other means")

NO_CHMOD = """
import os, pathlib
def refuse(*_, **__): raise PermissionError(1, "Operation not permitted")
os.chmod = pathlib.Path.chmod = refuse
"""
NO_FLOCK = """
import fcntl
def refuse(*_): raise OSError({code}, os.strerror({code}))
import os
fcntl.flock = refuse
"""


def output_of(process):
    output, _ = process.communicate(timeout=120)
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output
    return output


def test_permissions_are_cosmetic(pytester, report):
    with small_server() as npu:
        process = started_as_a_terminal_does(
            pytester, f"--npu-url={npu}", "-k", "ready", "-p", "no:hypothesispytest", before=NO_CHMOD
        )
        output = output_of(process)
    assert process.returncode == pytest.ExitCode.OK, output
    assert report()["state"] == "finished"
    assert (pytester.path / "gptoss-report" / "acceptance.md").is_file()


@pytest.mark.parametrize(("code", "workers"), [(errno.ENOLCK, ()), (errno.EOPNOTSUPP, ("-n", "2"))])
def test_a_share_without_locks_is_a_usage_error(pytester, code, workers):
    process = started_as_a_terminal_does(
        pytester, "--npu-url=http://127.0.0.1:9", "-k", "ready", "-p", "no:hypothesispytest", *workers,
        before=NO_FLOCK.format(code=code),
    )  # fmt: skip
    output = output_of(process)
    assert process.returncode == pytest.ExitCode.USAGE_ERROR, output
    said = next(line for line in output.splitlines() if "ERROR: gptoss:" in line)
    assert os.path.join("gptoss-report", ".gptoss-lock") in said  # noqa: PTH118
    assert os.strerror(code) in said
    assert "--gptoss-report DIR" in said


def test_the_lock_of_the_measurements_names_itself(tmp_path, monkeypatch):
    """A share that is mounted anew, say, while the run goes on: an error of the row, in a line."""
    store = Store(tmp_path / "run")
    store.begin()

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(StoreError, match=r"run/lock: this file cannot be locked .*--gptoss-report"),
        store.lock(),
    ):
        pass
    with pytest.raises(StoreError, match=r"\.gptoss-lock: this file cannot be locked"):
        store.claim()
    monkeypatch.undo()
    store.claim()
    with store.lock():
        assert json.loads((tmp_path / "run" / "run.json").read_text()) == {}
    store.release()


def test_what_breaks_inside_the_lock_is_not_laid_to_the_lock(tmp_path):
    store = Store(tmp_path / "run")
    store.begin()
    with pytest.raises(OSError, match="its own"), store.lock():
        raise OSError(errno.EIO, "its own")


def test_a_file_is_private_no_longer_where_permissions_are_known(tmp_path):
    write_text(tmp_path / "report.md", "text")
    assert (tmp_path / "report.md").stat().st_mode & 0o777 == 0o644
