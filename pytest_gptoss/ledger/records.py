"""One run as the ledger keeps it: a record class for each table, its fields the table's columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "TABLES",
    "DeviceRecord",
    "Entry",
    "FactRecord",
    "FigureRecord",
    "LevelRecord",
    "RunRecord",
    "VerdictRecord",
]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run. ``workload`` is equal where the same was asked; ``replay_of`` is the run that was judged again.

    ``document_sha256`` tells two documents with the same id apart. ``confirmed``: when a person confirmed
    that what changed with this run is meant; None where nobody did. Moments are in UTC.
    """

    run_id: str
    document_sha256: str
    state: str
    verdict: str
    profile: str
    started: str
    ended: str | None
    prompts_sha256: str
    workload: str
    replay_of: str | None
    changed_limits: int
    selected: int
    added: str = ""
    confirmed: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device of a run. ``identity`` finds it in other runs: the label that a user gave it, or its name."""

    run_id: str
    device: str
    identity: str
    role: str
    label: str | None
    url: str | None
    model: str | None
    server_version: str | None
    max_model_len: int | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class FactRecord:
    """A setting, a version or another fact of a run; ``value`` is its JSON, ``part`` where it stands."""

    run_id: str
    part: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """A verdict; figures that do not exist are None. ``proven`` is 1 or 0."""

    run_id: str
    device: str
    threshold_id: str
    family: str
    tier: str
    statistic: str
    verdict: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int | None
    limit_value: float
    changed_from: float | None
    comparison: str
    unit: str
    proven: int | None
    headroom: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class LevelRecord:
    """A load level as it was held on a device; ``complete`` is 1 or 0."""

    run_id: str
    device: str
    level: str
    trial: int
    concurrency: int
    complete: int
    requests: int | None
    completed: int | None
    failed: int | None
    prompt_tokens: int | None
    max_tokens: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class FigureRecord:
    """A figure of a load level: ``ttft_ms.p99``, ``throughput_tok_s``."""

    run_id: str
    device: str
    level: str
    trial: int
    figure: str
    value: float


@dataclass(frozen=True, slots=True)
class Entry:
    """All that the ledger keeps of one run."""

    run: RunRecord
    devices: tuple[DeviceRecord, ...] = ()
    facts: tuple[FactRecord, ...] = ()
    verdicts: tuple[VerdictRecord, ...] = ()
    levels: tuple[LevelRecord, ...] = ()
    figures: tuple[FigureRecord, ...] = ()


TABLES: Mapping[str, type] = {
    "devices": DeviceRecord,
    "facts": FactRecord,
    "verdicts": VerdictRecord,
    "levels": LevelRecord,
    "figures": FigureRecord,
}
"""Parts of an entry beside the run itself; the table of each is called ``gptoss_NAME``."""
