"""The instrument's own error on this machine: calibrated once for a run's load levels, kept in its store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict

from pytest_gptoss.errors import GptossError
from pytest_gptoss.judge.instrument import error_at
from pytest_gptoss.measure.store import Store
from pytest_gptoss.records import InstrumentError, Json, LoadShape

__all__ = ["ensure_calibrated", "instrument_errors", "instrument_problem"]

DOCUMENT = "instrument"


def ensure_calibrated(store: Store, shapes: Iterable[LoadShape], *, tell: Callable[[str], None]) -> None:
    """Calibrate the levels that were not yet; what goes wrong is kept, and judged by who needs it.

    The caller holds the store's lock.
    """
    known = instrument_errors(store)
    missing = [shape for shape in shapes if error_at(known, shape.concurrency) is None]
    if not missing or instrument_problem(store) is not None:
        return
    from pytest_gptoss.measure.calibration import calibrate

    document: dict[str, Json] = {"errors": [], "problem": None}
    try:
        found = [*known, *calibrate(missing, tell=lambda text: tell(f"gptoss: {text}"))]
    except GptossError as error:
        found = list(known)
        document["problem"] = str(error)
    document["errors"] = [asdict(error) for error in sorted(found, key=lambda each: each.concurrency)]
    store.save_document(DOCUMENT, document)


def instrument_errors(store: Store) -> tuple[InstrumentError, ...]:
    """The calibrated errors, the lowest level first; empty where nothing was calibrated."""
    document = store.load_document(DOCUMENT) or {"errors": []}
    return tuple(InstrumentError(**error) for error in document["errors"])


def instrument_problem(store: Store) -> str | None:
    """Why the instrument could not be calibrated; None when it was, or was not to be."""
    document = store.load_document(DOCUMENT)
    return None if document is None else document["problem"]
