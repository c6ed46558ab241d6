"""Several processes write into one ledger, SQLite and PostgreSQL: no run is lost, doubled or half there."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from ledger_runs import document, numbered

from pytest_gptoss.ledger.database import reading
from pytest_gptoss.ledger.finding import runs
from pytest_gptoss.ledger.storing import add_run
from pytest_gptoss.model.errors import LedgerError
from pytest_gptoss.model.ledger_target import read_target

DASHBOARD = Path(__file__).parents[2] / "docs" / "ci" / "grafana-dashboard.json"
WRITER = Path(__file__).with_name("ledger_runs.py")
INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
RANGES = ((0, 15), (10, 30), (25, 45), (35, 50))
"""Runs that each process writes: some are written by two."""
PASSWORD = "let-me-in"


@pytest.fixture(scope="module")
def cluster():
    """A PostgreSQL of its own, ended and removed afterwards; its URL with another database each time."""
    if not INSTALLED:
        pytest.skip("PostgreSQL is not installed")
    programs = INSTALLED[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="ledger-"))
    user = {"user": "postgres"} if os.geteuid() == 0 else {}
    if user:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)

    def call(*words):
        subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=240, **user)

    call(
        programs / "initdb", "-D", folder / "data", "-U", "lab", "--auth=scram-sha-256", "--no-sync",
        "--pwfile", folder / "password",
    )  # fmt: skip
    server = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    call(programs / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", server, "start")
    yield f"lab:{PASSWORD}@127.0.0.1:{port}"
    call(programs / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request, tmp_path):
    """An empty ledger of each kind."""
    if request.param == "sqlite":
        yield read_target("runs.db", tmp_path)
        return
    place = request.getfixturevalue("cluster")
    found = read_target(f"postgresql://{place}/postgres")
    yield found
    with reading(found) as connection:
        for table in ("verdicts", "devices", "facts", "levels", "figures", "runs", "ledger"):
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS gptoss_{table}")


def _writer(target, begin, end):
    return subprocess.Popen(
        [sys.executable, WRITER, str(target.path or target.url), str(begin), str(end)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _parts(target):
    """How many verdicts and facts each run has."""
    query = (
        "SELECT r.run_id, (SELECT COUNT(*) FROM gptoss_verdicts v WHERE v.run_id = r.run_id), "
        "(SELECT COUNT(*) FROM gptoss_devices d WHERE d.run_id = r.run_id) FROM gptoss_runs r"
    )
    with reading(target) as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def test_four_processes_write_fifty_runs(target):
    writers = [_writer(target, *each) for each in RANGES]
    assert [writer.communicate(timeout=500)[0].count("\n") for writer in writers] == [15, 20, 20, 15]
    assert [writer.returncode for writer in writers] == [0] * 4
    found = _parts(target)
    assert len(found) == len({run_id for run_id, *_ in found}) == 50
    whole = (len(document()["verdicts"]), len(document()["devices"]))
    assert {tuple(counts) for _, *counts in found} == {whole}


@pytest.mark.parametrize("after", [1, 3])
def test_a_run_killed_in_mid_write_is_whole_or_absent(target, after):
    writer = _writer(target, 0, 500)
    for _ in range(after):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=60)
    found = _parts(target)
    assert after <= len(found) < 500
    assert {tuple(counts) for _, *counts in found} == {
        (len(document()["verdicts"]), len(document()["devices"]))
    }
    assert add_run(target, numbered(499))[1]


def test_a_wrong_password_is_told_without_it(cluster):
    wrong = read_target(f"postgresql://{cluster.replace(PASSWORD, 'guessed')}/postgres")
    with pytest.raises(LedgerError, match="password authentication failed") as raised:
        add_run(wrong, document())
    assert "correct user and password" in str(raised.value)
    assert "guessed" not in str(raised.value)


def test_a_database_that_is_not_there_is_told(cluster):
    with pytest.raises(LedgerError, match="make the database first, or correct its name"):
        runs(read_target(f"postgresql://{cluster}/nowhere"))


def test_the_dashboard_is_postgresqls_too(cluster):
    target = read_target(f"postgresql://{cluster}/template1")
    add_run(target, document("failing"))
    with reading(target) as connection:
        for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
            query = panel["targets"][0]["rawSql"]
            connection.exec_driver_sql(query.replace("$row", "precision.rouge_l").replace("%", "%%"))
