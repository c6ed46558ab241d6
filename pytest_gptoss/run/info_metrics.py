"""Metrics that are measured and printed beside a judged one, and never judged."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import GptossError
from pytest_gptoss.model.finite import finite
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.run.absent import lacks_baseline
from pytest_gptoss.run.estimating import Estimating
from pytest_gptoss.run.measuring import Measuring
from pytest_gptoss.run.store import Store, info_name

__all__ = ["InfoMetrics"]


class InfoMetrics:
    """Keeps the info metrics of a judged metric in the store."""

    def __init__(
        self, metrics: Mapping[str, Metric], store: Store, measuring: Measuring, estimating: Estimating
    ) -> None:
        self._metrics = metrics
        self._store = store
        self._measuring = measuring
        self._estimating = estimating

    def keep(self, metric: Metric, roles: Roles) -> None:
        """Measure what is printed with a metric, all devices side by side, and keep it."""
        named = {name: self._metrics[name] for name in metric.info}
        info = {name: each for name, each in named.items() if not lacks_baseline(each, roles)}
        scenarios = [scenario for each in info.values() for scenario in each.needs(roles).values()]
        with contextlib.suppress(GptossError):  # the figure that stays unknown names the cause
            self._measuring.measure(*scenarios)
        for name, each in info.items():
            self._store.save_document(info_name(roles.subject, name), self._document(name, each, roles))

    def _document(self, name: str, metric: Metric, roles: Roles) -> dict[str, Json]:
        """An info metric as the store keeps it; what it could not have is its finding."""
        try:
            return _of_estimate(self._estimating.estimate(metric, roles))
        except GptossError as error:
            return {"value": None, "unit": None, "n": None, "ci": None, "details": {},
                    "finding": say("{name} is not known: {error}", name=name, error=error)}  # fmt: skip


def _of_estimate(estimate: Estimate) -> dict[str, Json]:
    return {
        "value": estimate.value,
        "unit": estimate.unit,
        "n": estimate.n,
        "ci": None if estimate.interval is None else list(estimate.interval),
        "details": finite(dict(estimate.details)),
        "finding": estimate.details.get("finding"),
    }
