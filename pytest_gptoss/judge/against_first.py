"""The precision contract once more: each device under test against the first of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pytest_gptoss.judge.conditions import FIRST
from pytest_gptoss.judge.metric import Compute, Declaration, Metric, declare, declared
from pytest_gptoss.judge.roles import Roles, first_of
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.verdicts import FORCED, Estimate
from pytest_gptoss.scenarios.kinds import Scenario

__all__ = ["against_first"]

_F = TypeVar("_F", bound=Compute)


def against_first(function: _F) -> _F:
    """Declare ``configuration_NAME`` beside the one metric that is declared on a function already.

    It is the same comparison with the first device under test in the baseline's place.
    """
    (declaration,) = declared(function)
    built = declaration.build("")
    if built is None:
        raise ValueError(f"{declaration.name} is a family: it has no comparison with the first device")
    compared = _compared(built)
    declare(function, Declaration(compared.name, lambda _: compared))
    return function


def _compared(metric: Metric) -> Metric:
    def needs(roles: Roles) -> Mapping[str, Scenario]:
        # Teacher forcing is for the guide's own rows: here it would cost another measurement.
        compared = metric.needs(replace(roles, gpu=first_of(roles)))
        return {name: scenario for name, scenario in compared.items() if name != FORCED}

    def compute(**measured: Measurement[Any]) -> Estimate:
        estimate = metric.compute(**measured)
        return replace(estimate, unit=estimate.unit.replace("GPU", "first"))

    same_inputs = "inputs.identical" in metric.depends_on
    return Metric(
        f"configuration_{metric.name}",
        compute,
        needs,
        condition=FIRST,
        depends_on=("configuration.inputs_identical",) if same_inputs else (),
        statistics=metric.statistics[:1],
    )
