"""From a metric to its estimate: what it needs is measured, and handed to it."""

from __future__ import annotations

from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.message import say
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.run.context import RunContext
from pytest_gptoss.run.measuring import Measuring

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
        measured = dict(zip(needs, self._measuring.measure(*needs.values()), strict=True))
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
