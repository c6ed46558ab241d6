"""Hidden states against the FP32 reference: the device's distance from it, over the baseline's."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.judge.conditions import CPU
from pytest_gptoss.judge.evidence import cut_to
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.metrics.hidden import hidden_cosine
from pytest_gptoss.judge.recovered_states import States as Item
from pytest_gptoss.judge.roles import Roles, cpu_of, gpu_of
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Hidden, Scenario

__all__ = ["hidden_error_ratio"]

States = Measurement[Item]


def _all_three(roles: Roles) -> Mapping[str, Scenario]:
    return {"npu": Hidden(roles.subject), "gpu": Hidden(gpu_of(roles)), "cpu": Hidden(cpu_of(roles))}


@metric("hidden_error_ratio", needs=_all_three, condition=CPU, baseline=True)
def hidden_error_ratio(*, npu: States, gpu: States, cpu: States) -> Estimate:
    """Relative L2 distance from the reference's hidden states, the device's over the baseline's.

    Printed beside the error ratio and never judged. Raises InsufficientData where a device has no hidden
    states, or some that are not finite, where both were not compared at equally many positions, and for a
    baseline whose states are the reference's own.
    """
    distances, positions = {}, set()
    for role, states in (("npu", npu), ("gpu", gpu)):
        told = hidden_cosine(npu=cut_to(states, cpu), gpu=cpu).details
        if told["relative_l2"] is None or told["broken"]:
            raise InsufficientData(
                say("{device}: some of its hidden states have no finite values", device=states.device)
            )
        distances[role] = float(told["relative_l2"])
        positions.add(told["positions"])
    if len(positions) > 1:
        raise InsufficientData(
            say(
                "{device} and {other} have hidden states at {few} and {many} positions, which do not compare",
                device=npu.device,
                other=gpu.device,
                few=min(positions),
                many=max(positions),
            )
        )
    if not distances["gpu"]:
        raise InsufficientData(
            say("{device}: its hidden states are those of the reference, bit for bit", device=gpu.device)
        )
    ratio = distances["npu"] / distances["gpu"]
    finding = say(
        "hidden states: relative L2 distance from the FP32 reference {npu_distance:.3g} on {npu}, "
        "{gpu_distance:.3g} on {gpu}, ratio {ratio:.3g}",
        npu_distance=distances["npu"],
        npu=npu.device,
        gpu_distance=distances["gpu"],
        gpu=gpu.device,
        ratio=ratio,
    )
    return Estimate(ratio, "times", len(cpu.items), details={"relative_l2": distances, "finding": finding})
