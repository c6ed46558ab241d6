"""How far apart the clocks of two servers are."""

from __future__ import annotations

from pytest_gptoss.judge.conditions import GPU
from pytest_gptoss.judge.facts import facts_of
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import both_facts
from pytest_gptoss.model.errors import ConditionAbsent
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["clock"]


@metric(
    "preflight_clock",
    needs=both_facts,
    condition=GPU,
    depends_on=("preflight.baseline",),
    statistics=("difference",),
)
def clock(*, npu: Measurement[ServerFacts], gpu: Measurement[ServerFacts]) -> Estimate:
    """Seconds between the clocks of the two servers, each taken from its Date header.

    Raises ConditionAbsent when one sends none.
    """
    ours, theirs = facts_of(npu).clock_ahead_s, facts_of(gpu).clock_ahead_s
    if ours is None or theirs is None:
        device = npu.device if ours is None else gpu.device
        raise ConditionAbsent(say("{device} sends no Date header: its clock cannot be seen", device=device))
    apart = abs(ours - theirs)
    details: dict[str, Json] = {"npu_ahead_s": ours, "gpu_ahead_s": theirs}
    if apart >= 2:
        details["finding"] = say(
            "the clocks of {ours} and {theirs} are {apart:.0f} s apart: set them by one "
            "time server, or the date in their prompts will differ around midnight",
            ours=npu.device,
            theirs=gpu.device,
            apart=apart,
        )
    return Estimate(apart, "s", 1, details=details)
