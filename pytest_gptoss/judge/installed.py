"""Metrics and profiles that other installed packages bring, by entry point.

In the other package's ``pyproject.toml``::

    [project.entry-points."pytest_gptoss.metrics"]
    answer_length = "acme_gptoss:answer_length"

    [project.entry-points."pytest_gptoss.profiles"]
    acme = "acme_gptoss:PROFILE"

A metric is a function decorated with ``metric``, or a ``Metric``; a profile is the path of a TOML file or a
package resource (``importlib.resources.files``). Each is imported when a run first needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from os import PathLike
from pathlib import Path
from typing import Any

from pytest_gptoss.judge.metric import Metric, declared
from pytest_gptoss.model.errors import UsageError

__all__ = ["installed_metric", "installed_profile", "installed_profile_names", "refuse_taken_names"]

_METRICS, _PROFILES = "pytest_gptoss.metrics", "pytest_gptoss.profiles"


def installed_metric(name: str) -> Metric | None:
    """The metric that a package brings by this name; None when there is none.

    Raises UsageError when it does not load or is no metric of this name.
    """
    entry = _entries(_METRICS).get(name)
    if entry is None:
        return None
    loaded = _load(entry)
    built = [each.build("") for each in declared(loaded) if each.name == name]
    found = loaded if isinstance(loaded, Metric) else next(iter(built), None)
    if found is None or found.name != name:
        raise UsageError(
            f"{_whose(entry)} is {loaded!r:.80}: it must be a Metric called {name!r}, or a function "
            f"decorated with @metric({name!r}, ...); correct the entry point, or uninstall the package"
        )
    return found


def installed_profile_names() -> tuple[str, ...]:
    """Names of the profiles that packages bring."""
    return tuple(_entries(_PROFILES))


def installed_profile(name: str) -> tuple[str, str]:
    """Text of the profile that a package brings by this name, and whose it is, for messages.

    Raises UsageError when it does not load or is no file that can be read.
    """
    entry = _entries(_PROFILES)[name]
    loaded = _load(entry)
    source = Path(loaded) if isinstance(loaded, str | PathLike) else loaded
    try:
        return source.read_text("utf-8"), _whose(entry)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{_whose(entry)} is {loaded!r:.80}, which cannot be read ({error}): it must be the path of "
            "a TOML file or a package resource; correct the entry point, or uninstall the package"
        ) from error


def refuse_taken_names(metric_is_ours: Callable[[str], bool], profiles: tuple[str, ...]) -> None:
    """Raise UsageError for a name that two packages bring, or that a metric or profile of ours has."""
    taken = [entry for name, entry in _entries(_METRICS).items() if metric_is_ours(name)]
    taken += [entry for name, entry in _entries(_PROFILES).items() if name in profiles]
    if taken:
        raise UsageError(
            f"{_whose(taken[0])} has a name that pytest-gptoss has already: give it another name, or "
            "uninstall the package"
        )


def _entries(group: str) -> Mapping[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value or _package(other) != _package(entry):
            raise UsageError(
                f"{_whose(entry)}: package {_package(other)} brings one of this name too: "
                "uninstall one of them"
            )
    return found


def _load(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:  # another package's code may raise anything
        raise UsageError(
            f"{_whose(entry)} does not load ({type(error).__name__}: {error}): correct or uninstall the "
            "package"
        ) from error


def _package(entry: EntryPoint) -> str:
    return "unknown" if entry.dist is None else entry.dist.name


def _whose(entry: EntryPoint) -> str:
    kind = entry.group.rpartition(".")[2].removesuffix("s")
    return f"{kind} {entry.name!r} of package {_package(entry)} ({entry.value})"
