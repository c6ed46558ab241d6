"""The rows (device under test, threshold id) that a run was asked for, told between its processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import pytest

from pytest_gptoss.plugin.keys import ROW
from pytest_gptoss.run.store import Store

__all__ = ["Row", "SelectedRows", "row_of"]

SELECTED = "selected"
"""The store's document with the rows that were asked for."""

Row: TypeAlias = tuple[str, str]
"""(device under test, threshold id)."""


class SelectedRows:
    """What this process was asked for; pytest-xdist's controller learns from its workers what they were."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._own: dict[Row, None] = {}

    def begin(self) -> None:
        """Forget what another run was asked for."""
        self._store.save_document(SELECTED, [])

    def note(self, rows: Iterable[Row]) -> None:
        """Learn this process's rows, in their order."""
        self._own = dict.fromkeys(rows)

    def tell_controller(self) -> None:
        """Put this process's rows where the controller finds them; raises StoreError."""
        self._store.save_document(SELECTED, list(self._own))

    def asked_for(self) -> Mapping[Row, None]:
        """The rows in their order, noted here or told by workers."""
        if self._own:
            return self._own
        return dict.fromkeys(self._store.load_document(SELECTED, tuple[Row, ...]) or ())


def row_of(item: pytest.Item) -> Row | None:
    """(npu, threshold id) of a test that is a row; None for other tests."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    row: Row | None = params.get(ROW)
    return row
