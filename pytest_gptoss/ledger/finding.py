"""Runs read from a ledger: the list, one by its id or by ``last`` and ``last-accepted``."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from pytest_gptoss.ledger.database import reading
from pytest_gptoss.ledger.records import TABLES, Entry, RunRecord
from pytest_gptoss.model.errors import LedgerError
from pytest_gptoss.model.ledger_target import LedgerTarget

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["ACCEPTED", "LAST", "LAST_ACCEPTED", "entry_named", "runs"]

LAST, LAST_ACCEPTED = "last", "last-accepted"
"""Names of runs beside their ids."""
ACCEPTED = "ACCEPTED"


def runs(target: LedgerTarget) -> list[RunRecord]:
    """Every run, the oldest first. Raises LedgerError."""
    with reading(target) as connection:
        return _runs(connection)


def entry_named(target: LedgerTarget, name: str, *, before: RunRecord | None = None) -> Entry:
    """The run of this id, or the latest (``last``), or the latest accepted one (``last-accepted``).

    A replay is no run of its own time: ``last`` passes it over. ``before``: ``last`` and ``last-accepted``
    mean runs before this one, which may be in the ledger itself. Raises LedgerError where there is none.
    """
    with reading(target) as connection:
        found = _chosen(_runs(connection), name, before)
        if found is None:
            earlier = (
                f" before {before.run_id}" if before is not None and name in (LAST, LAST_ACCEPTED) else ""
            )
            raise LedgerError(
                f"there is no run {name}{earlier}: pytest-gptoss ledger list names those there are"
            )
        parts = {each: tuple(_records(connection, each, found.run_id)) for each in TABLES}
        return Entry(found, **parts)


def _chosen(found: list[RunRecord], name: str, before: RunRecord | None) -> RunRecord | None:
    if name in (LAST, LAST_ACCEPTED):
        found = [each for each in found if each.replay_of is None]
        if before is not None:
            found = [
                each for each in found if each.run_id != before.run_id and each.started <= before.started
            ]
        if name == LAST_ACCEPTED:
            found = [each for each in found if each.verdict == ACCEPTED]
        return found[-1] if found else None
    return next((each for each in found if each.run_id == name), None)


def _runs(connection: Connection) -> list[RunRecord]:
    query = f"SELECT {_columns(RunRecord)} FROM gptoss_runs ORDER BY started, run_id"  # noqa: S608
    return [RunRecord(*row) for row in connection.exec_driver_sql(query)]


def _records(connection: Connection, table: str, run_id: str) -> list[Any]:
    from sqlalchemy import text

    kind = TABLES[table]
    query = text(f"SELECT {_columns(kind)} FROM gptoss_{table} WHERE run_id = :run")  # noqa: S608
    return [kind(*row) for row in connection.execute(query, {"run": run_id})]


def _columns(kind: type) -> str:
    return ", ".join(each.name for each in fields(kind))
