"""Every scenario kind there is: the files of ``scenarios/kinds``."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from pytest_gptoss.scenarios import kinds as package
from pytest_gptoss.scenarios.scenario import Scenario
from pytest_gptoss.scenarios.scenario_id import is_fit

__all__ = ["device_of_id", "is_id", "item_classes", "kind_of_id", "kinds"]


@cache
def kinds() -> Mapping[str, type[Scenario]]:
    """All kinds by the first word of their ids."""
    names = (f"{package.__name__}.{each.name}" for each in pkgutil.iter_modules(package.__path__))
    inside = (each for name in names for each in vars(import_module(name)).values())
    found = {each for each in inside if isinstance(each, type) and issubclass(each, Scenario)} - {Scenario}
    return {each.word: each for each in sorted(found, key=lambda each: each.word)}


def kind_of_id(scenario_id: str) -> type[Scenario] | None:
    """The kind that an id belongs to, None of an id that no kind has."""
    return kinds().get(scenario_id.partition("-")[0])


def is_id(text: str) -> bool:
    """Whether a text can be the id of a scenario; none can be taken for a path."""
    return "-" in text and kind_of_id(text) is not None and is_fit(text)


def device_of_id(scenario_id: str) -> str:
    """The device's name in an id; the first word after the kind's where the id does not tell it whole."""
    kind, name = kind_of_id(scenario_id), scenario_id.partition("-")[2]
    record = None if kind is None else kind.named(name)
    return name.partition("-")[0] if record is None else record.device


@cache
def item_classes() -> Mapping[str, type[Any]]:
    """What the items of measurements are, by class name."""
    return {item.__name__: item for kind in kinds().values() for item in kind.item_classes}
