"""One row over the runs of a ledger: a series for each device, profile and workload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from pytest_gptoss.ledger.change_points import change_points
from pytest_gptoss.ledger.database import reading
from pytest_gptoss.model.ledger_target import LedgerTarget

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Asked", "Point", "Series", "histories"]

Asked: TypeAlias = tuple[str, str, str, str, str, str]
"""What the runs of a series have in common: device, profile, workload, row, statistic, unit."""

_QUERY = """
SELECT d.identity, r.profile, r.workload, v.threshold_id, v.statistic, v.unit, r.run_id, r.started, v.value,
    v.verdict, d.server_version, r.confirmed, r.verdict AS run_verdict
FROM gptoss_verdicts v
JOIN gptoss_runs r ON r.run_id = v.run_id
JOIN gptoss_devices d ON d.run_id = v.run_id AND d.device = v.device
WHERE v.value IS NOT NULL AND r.replay_of IS NULL AND (:row = '' OR v.threshold_id = :row)
    AND (:device = '' OR d.identity = :device OR d.device = :device)
    AND (:row <> '' OR v.tier = 'contract')
ORDER BY r.started, r.run_id
"""


@dataclass(frozen=True, slots=True)
class Point:
    """A run's figure. ``version`` is the server's; ``confirmed``: a person confirmed what changed here.

    ``run_verdict`` is the whole run's.
    """

    run_id: str
    started: str
    value: float
    verdict: str
    version: str
    confirmed: bool
    run_verdict: str


@dataclass(frozen=True, slots=True)
class Series:
    """A row of one device over the runs that asked the same, the oldest first; replays are none of them."""

    device: str
    profile: str
    workload: str
    row: str
    statistic: str
    unit: str
    points: tuple[Point, ...]

    @property
    def name(self) -> str:
        """Device and row, as a heading says them."""
        return f"{self.device}: {self.row} ({self.profile})"

    @property
    def asked(self) -> Asked:
        """What all its runs have in common."""
        return self.device, self.profile, self.workload, self.row, self.statistic, self.unit

    def changes(self) -> list[int]:
        """Indices of the points with which a new level begins; raises LedgerError without ruptures."""
        return change_points([each.value for each in self.points])

    def version_changes(self) -> list[int]:
        """Indices of the points with another server version than the one before."""
        pairs = enumerate(pairwise(self.points), start=1)
        return [index for index, (before, here) in pairs if before.version != here.version]


def histories(target: LedgerTarget, *, row: str = "", device: str = "") -> list[Series]:
    """Every series of a row (none named: of each contract row), of a device (none named: of each).

    Raises LedgerError where the ledger cannot be read.
    """
    with reading(target) as connection:
        found = _found(connection, {"row": row, "device": device})
    return [Series(*key, tuple(points)) for key, points in found.items()]


def _found(connection: Connection, wanted: Mapping[str, str]) -> dict[Asked, list[Point]]:
    from sqlalchemy import text

    found: dict[Asked, list[Point]] = {}
    lines = connection.execute(text(_QUERY), dict(wanted))
    for *asked, run_id, started, value, verdict, version, confirmed, run_verdict in lines:
        point = Point(
            str(run_id),
            str(started),
            float(str(value)),
            str(verdict),
            str(version or ""),
            confirmed is not None,
            str(run_verdict),
        )
        device, profile, workload, row, statistic, unit = map(str, asked)
        found.setdefault((device, profile, workload, row, statistic, unit), []).append(point)
    return found
