"""What a run's search for the capacity asks: requests of the first load level with a service level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pytest_gptoss.model.arrivals import Slo
from pytest_gptoss.model.capacity import CapacityTask
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape

__all__ = ["capacity_task"]


def capacity_task(levels: Mapping[str, LoadShape], *, gated: bool) -> CapacityTask | None:
    """The task; None where no level but a trace has a service level with a limit.

    An open level says also how long a probe lasts and which rate comes first. ``gated``: the run has a row
    for the capacity. Raises UsageError where it has one and no such level.
    """
    for shape in levels.values():
        slo, traced = shape.slo, shape.arrivals is not None and shape.arrivals.trace is not None
        if slo is not None and not traced and (slo.ttft_ms, slo.tpot_ms) != (None, None):
            return _like(shape, slo)
    if gated:
        raise UsageError(
            "performance.capacity is the highest rate that keeps a service level, and none is given: add "
            "--gptoss-slo-ttft MS, --gptoss-slo-tpot MS or both"
        )
    return None


def _like(shape: LoadShape, slo: Slo) -> CapacityTask:
    task = CapacityTask(slo, shape.prompt_tokens, shape.max_tokens, shape.endpoint)
    arrivals = shape.arrivals
    if arrivals is None:
        return task
    probe_s = task.probe_s if shape.duration_s is None else shape.duration_s
    return replace(task, probe_s=probe_s, first_rate=arrivals.rate, seed=arrivals.seed)
