"""What a metric needs and a run lacks: a part of it, the baseline, or a load level."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.scenarios.kinds import Load
from pytest_gptoss.scenarios.load_plan import why_absent

__all__ = ["absent_level", "absent_part", "lacks_baseline"]


def absent_part(metric: Metric, roles: Roles) -> str | None:
    """Why a metric's condition does not hold in this run; None when it does."""
    return None if metric.condition is None else metric.condition.absent(roles)


def lacks_baseline(metric: Metric, roles: Roles) -> bool:
    """Whether a metric compares with a baseline that this run does not have."""
    return metric.baseline and roles.gpu is None


def absent_level(metric: Metric, roles: Roles, levels: Mapping[str, LoadShape]) -> str | None:
    """Why a metric's load level is not in the run's ``levels``, in a line; None when it is, or needs none."""
    needs = () if metric.baseline else metric.needs(roles).values()
    for each in needs:
        why = why_absent(each.level, levels) if isinstance(each, Load) else None
        if why is not None:
            return why
    return None
