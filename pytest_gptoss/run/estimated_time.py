"""How long a device will be busy with each family of rows, at the pace that its profile expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_gptoss.config.plan import Plan
from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.verdicts import FAMILIES
from pytest_gptoss.run.absent import absent_level, absent_part, lacks_baseline
from pytest_gptoss.scenarios.effort import Effort
from pytest_gptoss.scenarios.scenario import Scenario

__all__ = ["family_minutes", "in_words"]


def family_minutes(plan: Plan, roles: Roles) -> dict[str, float]:
    """Minutes of the device under test by family; what families share counts for the first of them.

    Empty where the profile expects no pace. Other devices are asked side by side, load levels aside.
    """
    pace = plan.profile.workload.pace
    if pace is None:
        return {}
    seen: set[str] = set()
    minutes: dict[str, float] = {}
    for family in FAMILIES:
        effort = Effort()
        for scenario in _of_family(plan, roles, family):
            if scenario.id not in seen and scenario.device == roles.subject:
                seen.add(scenario.id)
                effort += scenario.effort(plan.workload)
        minutes[family] = effort.seconds(read_per_s=pace.read, written_per_s=pace.written) / 60
    return minutes


def in_words(minutes: Mapping[str, float]) -> str:
    """The estimate in a line: all of it, then each family that takes half a minute or more."""
    parts = [f"{family} {each:.0f}" for family, each in minutes.items() if each >= 0.5]
    return f"about {sum(minutes.values()):.0f} minutes ({', '.join(parts)})" if parts else "about a minute"


def _of_family(plan: Plan, roles: Roles, family: str) -> Iterator[Scenario]:
    for row in plan.thresholds.values():
        metric = plan.metrics[row.metric]
        if row.family == family and _can_be_had(metric, plan, roles):
            beside = (plan.metrics[name] for name in metric.info)
            for each in (metric, *(other for other in beside if _can_be_had(other, plan, roles))):
                for scenario in each.needs(roles).values():
                    yield from _with_dependencies(scenario)


def _can_be_had(metric: Metric, plan: Plan, roles: Roles) -> bool:
    if absent_part(metric, roles) is not None or lacks_baseline(metric, roles):
        return False
    return absent_level(metric, roles, plan.workload.levels) is None


def _with_dependencies(scenario: Scenario) -> Iterator[Scenario]:
    for earlier in scenario.depends_on:
        yield from _with_dependencies(earlier)
    yield scenario
