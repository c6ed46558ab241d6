"""What is judged: estimates, thresholds and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pytest_gptoss.model.json_type import Json

__all__ = [
    "BY_HOOK",
    "FAMILIES",
    "FORCED",
    "PRECISION_CONTRACT",
    "TIERS",
    "Comparison",
    "Estimate",
    "Status",
    "Threshold",
    "Tier",
    "Verdict",
]

FAMILIES = ("preflight", "precision", "needle", "performance", "capability", "stress", "fleet")
TIERS = ("contract", "assurance")
Tier: TypeAlias = Literal["contract", "assurance"]

PRECISION_CONTRACT = ("token_match_rate", "hidden_cosine", "perplexity_diff", "rouge_l")
"""The metrics of the acceptance guide's precision table, in its order."""

Status: TypeAlias = Literal["PASS", "FAIL", "INVALID", "WAIVED", "SKIPPED"]

FORCED = "forced"
"""The statistic under teacher forcing, of rows that have one (``--gptoss-compare``)."""

BY_HOOK = "hook"
"""Source of a profile's threshold that a project's hook has changed."""

Comparison: TypeAlias = Literal[">=", "<=", ">", "<", "="]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's outcome: a finite value, how many units it rests on, and how sure it is.

    ``interval`` is a 95% confidence interval (low, high), or None where none is defined.
    ``details`` explains the figure to the reports and is never judged. ``doubt``: by how much the way it was
    measured may be off, beside sampling; a value nearer than that to its limit is not judged.
    ``significant_from``: the least value that chance does not explain; a limit below it is raised to it.
    """

    value: float
    unit: str
    n: int
    interval: tuple[float, float] | None = None
    details: Mapping[str, Json] = field(default_factory=dict)
    doubt: float = 0.0
    significant_from: float | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """One row of a profile: what is judged, against what, and where that stands written.

    ``forced_limit`` is the limit of the statistic "forced", for rows that have one (``--gptoss-compare``).
    ``changed_from`` and ``statistic_from`` are the limit and the statistic that a user has replaced.
    """

    id: str
    family: str
    metric: str
    statistic: str
    comparison: Comparison
    limit: float
    unit: str
    tier: Tier
    source: str
    forced_limit: float | None = None
    changed_from: float | None = None
    statistic_from: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One threshold judged on ``subject``, a device under test. Absent figures are None, never 0 or NaN."""

    subject: str
    threshold: Threshold
    status: Status
    value: float | None = None
    n: int | None = None
    interval: tuple[float, float] | None = None
    proven: bool | None = None
    reason: str = ""
    details: Mapping[str, Json] = field(default_factory=dict)
