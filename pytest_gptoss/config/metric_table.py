"""A run's metrics by name: those that a hook has set, and all others when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping

from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.trend import TREND

__all__ = ["MetricTable"]


class MetricTable(MutableMapping[str, Metric]):
    """Metrics by name, as the ``pytest_gptoss_thresholds`` hook gets them.

    A metric that nobody has set is found by ``metric_named`` when it is asked for, so iterating gives the
    ``names`` that the table of thresholds uses and those that were set, not all that can be asked for.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = dict.fromkeys(names)
        self._set: dict[str, Metric | None] = {}

    def __getitem__(self, name: str) -> Metric:
        name = name.removeprefix(TREND)  # the row whose trend is judged says what to measure
        found = self._set[name] if name in self._set else metric_named(name)
        if found is None:  # taken away
            raise KeyError(name)
        return found

    def __setitem__(self, name: str, metric: Metric) -> None:
        self._set[name] = metric

    def __delitem__(self, name: str) -> None:
        self[name]
        self._set[name] = None

    def __iter__(self) -> Iterator[str]:
        return (name for name in {**self._names, **self._set} if self._set.get(name, True) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)
