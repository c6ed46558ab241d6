"""What goes wrong with a ledger costs one clear line, shows no password and loses nothing."""

import os
import sqlite3
import subprocess
import sys

import pytest
from ledger_runs import document, ledger, numbered, rows, stored

from pytest_gptoss.cli.main import main
from pytest_gptoss.ledger import database, schema
from pytest_gptoss.ledger.finding import runs
from pytest_gptoss.ledger.storing import add_run, confirm_run
from pytest_gptoss.model.errors import LedgerError, UsageError
from pytest_gptoss.model.ledger_target import read_target

SECRET = "hunter2%40"


def test_the_same_run_twice_is_one_entry(tmp_path):
    target = ledger(tmp_path, document())
    run, new = add_run(target, document())
    assert not new
    assert [each.run_id for each in runs(target)] == [run.run_id]


def test_another_run_of_the_same_id_is_refused(tmp_path):
    target, other = ledger(tmp_path, document()), document()
    other["verdicts"][0]["value"] = 0.5
    with pytest.raises(LedgerError, match="is already there with other contents"):
        add_run(target, other)
    assert len(runs(target)) == 1


def test_a_newer_ledger_is_left_alone(tmp_path):
    target = ledger(tmp_path, document())
    with sqlite3.connect(target.path) as connection:
        connection.execute("UPDATE gptoss_ledger SET version = 99")
    connection.close()
    for ask in (lambda: add_run(target, numbered(1)), lambda: runs(target)):
        with pytest.raises(
            LedgerError, match=r"runs\.db: the ledger has schema 99, this version reads up to"
        ):
            ask()


@pytest.mark.parametrize("steps", range(len(schema.STEPS)))
def test_an_older_ledger_is_brought_up_to_date(tmp_path, monkeypatch, steps):
    with monkeypatch.context() as patched:
        patched.setattr(schema, "STEPS", schema.STEPS[:steps])
        with database.writing(read_target("runs.db", tmp_path)):
            pass
    target = ledger(tmp_path)
    assert runs(target) == []
    run, _ = add_run(target, document())
    confirm_run(target, run.run_id)
    assert runs(target)[0].confirmed


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everything")
def test_a_read_only_ledger_is_told_by_the_system(tmp_path):
    target = ledger(tmp_path, document())
    target.path.chmod(0o444)
    with pytest.raises(LedgerError, match=r"readonly database; nothing was written: it is read-only"):
        add_run(target, numbered(1))


def test_a_read_only_ledger_can_be_read(tmp_path, monkeypatch):
    target = ledger(tmp_path, document())
    with sqlite3.connect(target.path) as held:
        held.execute("BEGIN")
        held.execute("SELECT * FROM gptoss_runs").fetchone()
        assert len(runs(target)) == 1
    held.close()


def test_a_locked_ledger_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "WAIT_S", 0.2)
    target = ledger(tmp_path, document())
    holder = sqlite3.connect(target.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerError, match="database is locked; nothing was written: another program"):
        add_run(target, numbered(1))
    holder.close()
    assert add_run(target, numbered(1))[1]


def test_a_full_disk_is_told(tmp_path):
    full = tmp_path / "full.db"
    full.symlink_to("/dev/full")
    with pytest.raises(LedgerError, match="nothing was written: "):
        add_run(read_target(str(full)), document())


def test_a_ledger_that_may_not_grow_keeps_what_it_had(tmp_path):
    target = ledger(tmp_path, document())
    script = (
        "import resource, sys; from pathlib import Path; from ledger_runs import numbered\n"
        "from pytest_gptoss.ledger.storing import add_run\n"
        "from pytest_gptoss.model.ledger_target import read_target\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "size = Path(sys.argv[1]).stat().st_size; resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
        "add_run(read_target(sys.argv[1]), numbered(1))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(target.path)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.path.dirname(__file__)}, timeout=60,  # noqa: PTH120
    )  # fmt: skip
    assert "LedgerError" in done.stderr, done.stderr
    assert "nothing was written" in done.stderr.splitlines()[-1]
    assert len(runs(target)) == 1


def test_what_is_no_ledger_is_told(tmp_path):
    (tmp_path / "text.db").write_text("x" * 5000)
    with pytest.raises(LedgerError, match="not a database; nothing was written: it is no SQLite file"):
        add_run(read_target("text.db", tmp_path), document())
    with pytest.raises(LedgerError, match="there is no ledger; pytest-gptoss ledger add DIR makes one"):
        runs(read_target("none.db", tmp_path))
    with pytest.raises(LedgerError, match="is there such a folder"):
        add_run(read_target("no/such/folder.db", tmp_path), document())
    with pytest.raises(LedgerError, match="there is no run nothing: pytest-gptoss ledger list"):
        confirm_run(ledger(tmp_path), "nothing")


def test_a_database_that_does_not_answer_shows_no_password(tmp_path):
    target = read_target(f"postgresql://lab:{SECRET}@127.0.0.1:1/runs?sslpassword=deep")
    with pytest.raises(LedgerError, match="is the database running") as raised:
        add_run(target, document())
    told = f"{raised.value} {raised.value.__cause__} {target} {target!r}"
    assert "127.0.0.1" in told
    assert not [word for word in (SECRET, "hunter2", "deep") if word in told]
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "text",
    [f"mysql://u:{SECRET}@h/d", f"postgresql://u:{SECRET}@h", f"postgresql://u:{SECRET}@h:x/d", "", " ", "."],
)
def test_what_names_no_ledger_is_refused_without_its_password(text):
    with pytest.raises(
        UsageError, match="it takes a SQLite file, or postgresql://USER@HOST/DATABASE"
    ) as raised:
        read_target(text)
    assert "hunter2" not in str(raised.value)


def test_the_command_adds_confirms_and_lists(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    directory = stored(document(), tmp_path / "report")
    assert main(["ledger", "add", str(directory), "--ledger", "runs.db"]) == 0
    monkeypatch.setenv("GPTOSS_LEDGER", "runs.db")
    assert main(["ledger", "add", str(directory)]) == 0
    assert main(["ledger", "confirm", "last"]) == 0
    assert main(["ledger", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("added")
    assert lines[1].endswith("already there")
    assert "trends begin with it" in lines[2]
    assert lines[3].endswith("(confirmed)")
    assert rows(read_target("runs.db"), "SELECT count(*) FROM gptoss_runs") == [(1,)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["add", "."], "no ledger is named: add --ledger FILE|URL, or set GPTOSS_LEDGER"),
        (["add", "--ledger", "runs.db"], "name the report directory of a run"),
        (["confirm", "--ledger", "runs.db"], "ledger confirm: name a run"),
        (["list", "x", "--ledger", "runs.db"], "ledger list takes no x"),
        (["add", "nothing", "--ledger", "runs.db"], "nothing: there is no acceptance.json"),
    ],
)
def test_the_command_refuses(arguments, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GPTOSS_LEDGER", raising=False)
    assert main(["ledger", *arguments]) == 4
    assert told in capsys.readouterr().err
