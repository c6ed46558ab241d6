"""From a metric to its estimate: what it needs is measured, and handed to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.message import say
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.run.context import RunContext
from pytest_gptoss.run.measuring import Measuring
from pytest_gptoss.scenarios.kinds import Scenario

__all__ = ["Estimating"]


class Estimating:
    """Estimates of metrics.

    ``from_files``: measurements may come from files that somebody else has put together.
    """

    def __init__(self, measuring: Measuring, context: RunContext, *, from_files: bool) -> None:
        self._measuring = measuring
        self._context = context
        self._from_files = from_files

    def estimate(self, metric: Metric, roles: Roles, statistic: str | None = None) -> Estimate:
        """The estimate, after measuring what it needs; ``statistic``: which one to gate, None the default.

        Raises MeasurementError, InsufficientData and what a metric raises of itself.
        """
        needs = metric.needs(roles)
        measured = self._measured(metric, roles, needs)
        context = self._context.of(metric, roles)
        if len(metric.statistics) > 1:
            context["statistic"] = statistic
        try:
            return metric.compute(**measured, **context)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            if not self._from_files:
                raise
            # Every file is sound in itself, but together they are of no run.
            names = ", ".join(each.id for each in needs.values())
            raise InsufficientData(
                say(
                    "the stored {names} do not fit together ({kind}: {error}): measure again",
                    names=names,
                    kind=type(error).__name__,
                    error=error,
                )
            ) from error

    def _measured(self, metric: Metric, roles: Roles, needs: Mapping[str, Scenario]) -> dict[str, Any]:
        """What a metric needs by keyword; of a fleet's other nodes too, where it compares with those."""
        if not metric.fleet or roles.fleet is None:
            return dict(zip(needs, self._measuring.measure(*needs.values()), strict=True))
        nodes = (name for name in roles.fleet.nodes if name != roles.subject)
        others = {name: metric.needs(dataclasses.replace(roles, subject=name)) for name in nodes}
        measured, beside = self._measuring.measure_fleet(needs, others)
        return {**measured, "others": beside}
