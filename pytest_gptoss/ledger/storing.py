"""Runs written into a ledger, one transaction each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pytest_gptoss.ledger.database import writing
from pytest_gptoss.ledger.entry import entry_of
from pytest_gptoss.ledger.records import TABLES, Entry, RunRecord
from pytest_gptoss.model.errors import LedgerError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.ledger_target import LedgerTarget

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["add_run", "confirm_run"]


def add_run(target: LedgerTarget, document: Mapping[str, Json]) -> tuple[RunRecord, bool]:
    """Add a run that has ended; returns its record, and whether it is new.

    Raises UsageError for a run that has not ended, LedgerError where the ledger cannot be written, and where
    it holds another run of this id.
    """
    entry = entry_of(document)
    with writing(target) as connection:
        present = _sha256_of(connection, entry.run.run_id)
        if present is None:
            _insert(connection, replace(entry, run=replace(entry.run, added=_now())))
        elif present != entry.run.document_sha256:
            raise LedgerError(
                f"run {entry.run.run_id} is already there with other contents, which stay as they are: "
                "was acceptance.json edited or rendered by a hook? run again for an entry of its own"
            )
    return entry.run, present is None


def confirm_run(target: LedgerTarget, run_id: str) -> None:
    """Note that what changed with a run is meant: trends are compared with runs from it on.

    Raises LedgerError where the ledger holds no such run.
    """
    from sqlalchemy import text

    with writing(target) as connection:
        if _sha256_of(connection, run_id) is None:
            raise LedgerError(f"there is no run {run_id}: pytest-gptoss ledger list names those there are")
        connection.execute(
            text("UPDATE gptoss_runs SET confirmed = :now WHERE run_id = :run"),
            {"now": _now(), "run": run_id},
        )


def _sha256_of(connection: Connection, run_id: str) -> str | None:
    from sqlalchemy import text

    query = text("SELECT document_sha256 FROM gptoss_runs WHERE run_id = :run")
    found: str | None = connection.execute(query, {"run": run_id}).scalar()
    return found


def _insert(connection: Connection, entry: Entry) -> None:
    from sqlalchemy import column, insert, table

    parts = {"runs": [entry.run], **{name: list(getattr(entry, name)) for name in TABLES}}
    for name, records in parts.items():
        if records:
            rows = [asdict(each) for each in records]
            connection.execute(insert(table(f"gptoss_{name}", *map(column, rows[0]))), rows)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
