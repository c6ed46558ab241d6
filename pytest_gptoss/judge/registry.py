"""Metrics by name, each imported and built when it is first asked for.

``metric_named("kl")`` finds what ``judge.metric`` has declared in the modules of ``judge.metrics``; the one
whose name is the longest beginning of the metric's comes first, so that most names import one module. A name
that is none of ours is looked for among the metrics of other installed packages.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from pytest_gptoss.judge import metrics
from pytest_gptoss.judge.installed import installed_metric
from pytest_gptoss.judge.metric import Declaration, Metric, declared

__all__ = ["metric_named", "shipped_metric"]


@cache
def metric_named(name: str) -> Metric:
    """The metric of this name, always the same object.

    Raises KeyError when there is none, and UsageError when a package's does not load.
    """
    found = shipped_metric(name) or installed_metric(name)
    if found is None:
        raise KeyError(name)
    return found


@cache
def shipped_metric(name: str) -> Metric | None:
    """Our own metric of this name; None when there is none."""
    family, dot, part = name.partition(".")
    key = f"{family}.*" if dot else name
    for module in _modules(name):
        found = _declared_in(module).get(key)
        built = None if found is None else found.build(part)
        if built is not None:
            return built
    return None


def _modules(name: str) -> list[str]:
    found = [each.name for each in iter_modules(metrics.__path__)]
    return sorted(found, key=lambda module: len(module) if name.startswith(module) else 0, reverse=True)


@cache
def _declared_in(module: str) -> Mapping[str, Declaration]:
    contents = vars(import_module(f"{metrics.__name__}.{module}")).values()
    return {each.name: each for value in contents for each in declared(value)}
