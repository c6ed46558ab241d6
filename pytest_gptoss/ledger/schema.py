"""The ledger's tables, as numbered steps that make them; a ledger knows how many it has had.

A change of the tables is one more step at the end; a step that was once released stays as it is. Statements
are what SQLite and PostgreSQL both take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gptoss.model.errors import LedgerError

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["STEPS", "is_current", "migrate"]

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE gptoss_runs (
            run_id TEXT PRIMARY KEY, document_sha256 TEXT NOT NULL, state TEXT NOT NULL,
            verdict TEXT NOT NULL, profile TEXT NOT NULL, started TEXT NOT NULL, ended TEXT,
            prompts_sha256 TEXT NOT NULL,
            workload TEXT NOT NULL, replay_of TEXT, changed_limits BIGINT NOT NULL, selected BIGINT NOT NULL,
            added TEXT NOT NULL)""",
        """CREATE TABLE gptoss_devices (
            run_id TEXT NOT NULL REFERENCES gptoss_runs, device TEXT NOT NULL, identity TEXT NOT NULL,
            role TEXT NOT NULL, label TEXT, url TEXT, model TEXT, server_version TEXT, max_model_len BIGINT,
            problem TEXT, PRIMARY KEY (run_id, device))""",
        """CREATE TABLE gptoss_facts (
            run_id TEXT NOT NULL REFERENCES gptoss_runs, part TEXT NOT NULL, name TEXT NOT NULL,
            value TEXT NOT NULL, PRIMARY KEY (run_id, part, name))""",
        """CREATE TABLE gptoss_verdicts (
            run_id TEXT NOT NULL REFERENCES gptoss_runs, device TEXT NOT NULL, threshold_id TEXT NOT NULL,
            family TEXT NOT NULL, tier TEXT NOT NULL, statistic TEXT NOT NULL, verdict TEXT NOT NULL,
            value DOUBLE PRECISION, ci_low DOUBLE PRECISION, ci_high DOUBLE PRECISION, n BIGINT,
            limit_value DOUBLE PRECISION NOT NULL, changed_from DOUBLE PRECISION, comparison TEXT NOT NULL,
            unit TEXT NOT NULL, proven BIGINT, headroom DOUBLE PRECISION, reason TEXT,
            PRIMARY KEY (run_id, device, threshold_id))""",
        """CREATE TABLE gptoss_levels (
            run_id TEXT NOT NULL REFERENCES gptoss_runs, device TEXT NOT NULL, level TEXT NOT NULL,
            trial BIGINT NOT NULL, concurrency BIGINT NOT NULL, complete BIGINT NOT NULL, requests BIGINT,
            completed BIGINT, failed BIGINT, prompt_tokens BIGINT, max_tokens BIGINT, reason TEXT,
            PRIMARY KEY (run_id, device, level, trial))""",
        """CREATE TABLE gptoss_figures (
            run_id TEXT NOT NULL REFERENCES gptoss_runs, device TEXT NOT NULL, level TEXT NOT NULL,
            trial BIGINT NOT NULL, figure TEXT NOT NULL, value DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (run_id, device, level, trial, figure))""",
        "CREATE INDEX gptoss_verdicts_by_row ON gptoss_verdicts (threshold_id, device)",
    ),
    ("ALTER TABLE gptoss_runs ADD COLUMN confirmed TEXT",),
)

_VERSION = "gptoss_ledger"


def is_current(connection: Connection) -> bool:
    """Whether a ledger has had every step; raises LedgerError for a newer one."""
    version = _version(connection)
    if version > len(STEPS):
        raise LedgerError(
            f"the ledger has schema {version}, this version reads up to {len(STEPS)}: "
            "use the pytest-gptoss that wrote it, or a newer one"
        )
    return version == len(STEPS)


def migrate(connection: Connection) -> None:
    """Bring the tables up to date, in the caller's transaction; raises LedgerError for a newer ledger."""
    if is_current(connection):
        return
    version = _version(connection)
    for statement in (each for step in STEPS[version:] for each in step):
        connection.exec_driver_sql(statement)
    if not version:
        connection.exec_driver_sql(f"CREATE TABLE {_VERSION} (version BIGINT NOT NULL)")
        connection.exec_driver_sql(f"INSERT INTO {_VERSION} VALUES ({len(STEPS)})")  # noqa: S608
    else:
        connection.exec_driver_sql(f"UPDATE {_VERSION} SET version = {len(STEPS)}")  # noqa: S608


def _version(connection: Connection) -> int:
    """How many steps the ledger has had; 0 for an empty database."""
    from sqlalchemy import inspect

    if not inspect(connection).has_table(_VERSION):
        return 0
    found = connection.exec_driver_sql(f"SELECT version FROM {_VERSION}").scalar()  # noqa: S608
    return int(found or 0)
