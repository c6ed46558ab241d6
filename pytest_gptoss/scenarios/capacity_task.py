"""What a run's search for the capacity asks: the requests of the first load level with a service level."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.capacity import CapacityTask
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape

__all__ = ["capacity_task"]


def capacity_task(levels: Mapping[str, LoadShape], *, gated: bool) -> CapacityTask | None:
    """The task; None where no level has a service level with a limit.

    ``gated``: the run has a row for the capacity. Raises UsageError where it has one and no such level.
    """
    for shape in levels.values():
        if shape.slo is not None and (shape.slo.ttft_ms is not None or shape.slo.tpot_ms is not None):
            return CapacityTask(shape.slo, shape.prompt_tokens, shape.max_tokens, shape.endpoint)
    if gated:
        raise UsageError(
            "performance.capacity is the highest rate that keeps a service level, and none is given: add "
            "--gptoss-slo-ttft MS, --gptoss-slo-tpot MS or both"
        )
    return None
