"""What a user's file changes of a profile's workload: load levels it adds, and the service level.

::

    [[workload.load.levels]]
    rate = 8
    duration_s = 60

    [workload.slo]
    ttft_ms = 500
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_gptoss.judge.profile_levels import read_level_line, read_slo
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape

__all__ = ["with_workload_changes"]


def with_workload_changes(levels: Mapping[str, LoadShape], change: Any, path: Path) -> dict[str, LoadShape]:
    """A profile's levels with those of the file's ``[workload]``, which come in the place of their like.

    A level that does not say how long its requests are has those of the profile's largest closed level.
    Raises UsageError naming the file, the level, the key and the rule.
    """
    table = _table(change, ("load", "slo"), f"{path}: workload")
    load = _table(table.get("load", {}), ("levels",), f"{path}: workload.load")
    lines = load.get("levels", [])
    if not isinstance(lines, list):
        raise UsageError(f"{path}: workload.load.levels is no list: write [[workload.load.levels]]")
    slo = None
    if "slo" in table:
        try:
            slo = read_slo(table["slo"])
        except ValueError as error:
            raise UsageError(f"{path}: workload.slo: {error}") from None
    changed = {name: shape if slo is None else dataclasses.replace(shape, slo=slo)
               for name, shape in levels.items()}  # fmt: skip
    like = max(changed.values(), key=lambda shape: (shape.arrivals is None, shape.concurrency))
    usual = {"prompt_tokens": like.prompt_tokens, "max_tokens": like.max_tokens}
    added: set[str] = set()
    for place, line in enumerate(lines, 1):
        where = f"{path}: workload.load.levels, number {place}"
        try:
            name, shape = read_level_line(line, like.slo, usual=usual)
        except ValueError as error:
            raise UsageError(f"{where}: {error}") from None
        if name in added:
            raise UsageError(f"{where}: {name} stands there twice: give one of them a name of its own")
        added.add(name)
        changed[name] = shape
    return changed


def _table(found: Any, keys: tuple[str, ...], where: str) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise UsageError(f"{where} is no table: it takes {' and '.join(keys)}")
    unknown = next((key for key in found if key not in keys), None)
    if unknown is not None:
        raise UsageError(f"{where}: {unknown!r:.60} cannot be changed, only {' and '.join(keys)}")
    return found
