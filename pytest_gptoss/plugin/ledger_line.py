"""A run that has ended, added to the ledger that its options name."""

from __future__ import annotations

from pytest_gptoss.config.settings import Settings
from pytest_gptoss.model.errors import GptossError
from pytest_gptoss.report.files import read_document

__all__ = ["kept_in_ledger"]


def kept_in_ledger(settings: Settings, unread: str = "") -> str:
    """Add the run to its ledger; returns what the terminal says of it, nothing where no ledger is named.

    ``unread``: why earlier runs could not be read. What goes wrong costs the run nothing but that line: the
    run can be added later.
    """
    target = settings.ledger
    if target is None:
        return ""
    # Imported here: few runs name a ledger.
    from pytest_gptoss.ledger.storing import add_run

    try:
        run, new = add_run(target, read_document(settings.report))
    except GptossError as error:
        return f"{error}; to add it later: pytest-gptoss ledger add {settings.report} --ledger {target.shown}"
    kept = f"run {run.run_id} {'added to' if new else 'is already in'} {target.shown}"
    return f"{kept}; the report shows no earlier runs: {unread}" if unread else kept
