"""The highest rate of requests at which enough of them keep the service level."""

from __future__ import annotations

from pytest_gptoss.judge.capacity import capacity_of
from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.model.capacity import CapacityProbe
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Capacity

__all__ = ["capacity"]


@metric("capacity", needs=lambda roles: {"npu": Capacity(roles.subject)}, statistics=("bisection",))
def capacity(*, npu: Measurement[CapacityProbe]) -> Estimate:
    """Requests a second, found by bisection; details: ``slo`` and ``probes``, those of each rate tried.

    Raises InsufficientData where the search did not end, and where it found only a bound.
    """
    return capacity_of(sound_items(npu, "probes"))
