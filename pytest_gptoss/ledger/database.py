"""Transactions on a ledger: begun, committed or undone, and what goes wrong said in one line.

SQLite keeps its plain journal, not a write-ahead log: that needs memory that all writers share, which a
folder on a network does not give. Writers wait for each other; a run is written in milliseconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pytest_gptoss.ledger.schema import is_current, migrate
from pytest_gptoss.model.errors import LedgerError
from pytest_gptoss.model.ledger_target import LedgerTarget
from pytest_gptoss.model.printable import printable, shortened

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["reading", "writing"]

WAIT_S = 30
"""Seconds that a writer waits for others."""
CONNECT_S = 10
"""Seconds within which a database must answer."""
_LOCK = 20_782_842
"""The number of PostgreSQL's advisory lock under which ledgers are written."""

_WAYS_OUT = {
    "unable to open": "is there such a folder, and may you write there?",
    "readonly": "it is read-only: let this user write it, or name another ledger",
    "permission denied": "let this user write it, or name another ledger",
    "full": "make room on the disk",
    "no space": "make room on the disk",
    "locked": f"another program has held it for {WAIT_S} s: end that program",
    "canceling statement": f"another program has held it for {WAIT_S} s: end that program",
    "not a database": "it is no SQLite file: name another file",
    "malformed": "the file is damaged: put it back from a copy, or name another file",
    "password": "correct user and password (PGPASSWORD or ~/.pgpass keep it off the command line)",
    "does not exist": "make the database first, or correct its name",
}
"""What helps, by words of the database's own message."""
_UNREACHABLE = "is the database running, and is its address right?"


@contextlib.contextmanager
def writing(target: LedgerTarget) -> Iterator[Connection]:
    """One transaction that writes, on tables that are up to date; others wait meanwhile.

    Whatever is raised undoes it. Raises LedgerError for what the database says, without a password.
    """
    with _transaction(target, write=True) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_S}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        migrate(connection)
        yield connection


@contextlib.contextmanager
def reading(target: LedgerTarget) -> Iterator[Connection]:
    """One transaction that reads; tables of an older version are brought up to date before it.

    Raises LedgerError where there is no ledger, and for what the database says.
    """
    if target.path is not None and not target.path.is_file():
        raise LedgerError(f"{target.shown}: there is no ledger; pytest-gptoss ledger add DIR makes one")
    with _transaction(target, write=False) as connection:
        current = is_current(connection)
        if current:
            yield connection
    if not current:
        with writing(target) as connection:
            yield connection


@contextlib.contextmanager
def _transaction(target: LedgerTarget, *, write: bool) -> Iterator[Connection]:
    try:
        from sqlalchemy.exc import SQLAlchemyError
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    engine = None
    try:
        engine = _engine(target, "BEGIN IMMEDIATE" if write else "BEGIN")
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise _told(target, error) from None
    except LedgerError as error:
        raise LedgerError(
            error.args[0] if target.shown in str(error) else f"{target.shown}: {error}"
        ) from None
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    finally:
        if engine is not None:
            engine.dispose()


def _engine(target: LedgerTarget, begin: str) -> Engine:
    from sqlalchemy import create_engine, event, make_url
    from sqlalchemy.engine import URL
    from sqlalchemy.pool import NullPool

    if target.path is None:
        url = make_url(target.url).set(drivername="postgresql+psycopg")
        options = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_S}
        return create_engine(url, poolclass=NullPool, connect_args=options, hide_parameters=True)
    url = URL.create("sqlite", database=str(target.path))
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": WAIT_S}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def no_own_begin(connection: Any, _: object) -> None:
        connection.isolation_level = None  # Python's driver would begin late, and never for tables

    @event.listens_for(engine, "begin")
    def begin_here(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _missing(error: ModuleNotFoundError) -> LedgerError:
    return LedgerError(f"{error.name} is not installed: pip install 'pytest-gptoss[ledger]'")


def _told(target: LedgerTarget, error: Exception) -> LedgerError:
    """What a database says, in one line, with a way out and without a password."""
    said = target.masked(" ".join(str(getattr(error, "orig", None) or error).split()))
    lower = said.lower()
    way_out = next((each for words, each in _WAYS_OUT.items() if words in lower), _UNREACHABLE)
    return LedgerError(f"{target.shown}: {printable(shortened(said, 300))}; nothing was written: {way_out}")
