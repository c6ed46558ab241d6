"""Whether a request frees its slot when its client leaves."""

from __future__ import annotations

from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import feature
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import AbortTrace, Measurement
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["abort_frees"]


@metric(
    "abort_frees",
    needs=feature("abort"),
    statistics=("count",),
)
def abort_frees(*, npu: Measurement[AbortTrace]) -> Estimate:
    """Requests still counted as running after their client left, beyond those before it came.

    Details: ``freed_s``, seconds until the count was back. Raises ConditionAbsent without the count, and
    InsufficientData when the request never showed in it or would have ended by itself, or when the count
    stays up and has also moved without us.
    """
    if not npu.items and not npu.failures and npu.left_out:
        raise ConditionAbsent(next(iter(npu.left_out.values())))
    trace = sound_items(npu, "requests")[0]
    freed_s, running = trace.after[-1]
    if trace.says_nothing is not None:
        times = say(", {trials} times", trials=trace.trials) if trace.trials > 1 else ""
        raise InsufficientData(
            say("{device}: {reason}{times}", device=npu.device, reason=_nothing_said(trace), times=times)
        )
    details: dict[str, Json] = {
        "before": trace.before, "during": trace.during, "freed_s": None if trace.left else freed_s,
        "natural_s": trace.natural_s, "room": trace.room, "generated": trace.generated,
        "trials": trace.trials,
    }  # fmt: skip
    if trace.left:
        details["finding"] = say(
            "{device} still counts {running} running requests {freed_s:.0f} s after the "
            "client left ({before} before it came): abandoned requests keep their slots",
            device=npu.device,
            running=running,
            freed_s=freed_s,
            before=trace.before,
        )
    return Estimate(float(trace.left), "requests", 1, details=details)


def _nothing_said(trace: AbortTrace) -> str:
    freed_s = trace.after[-1][0]
    if trace.says_nothing == "unseen":
        return say(
            "a request in flight did not raise vllm:num_requests_running above {before}: {meanwhile}"
            "does a router or another server answer there, or a copy that is seldom renewed? give the "
            "vLLM server's own address; or others use it: try while they do not",
            before=trace.before,
            meanwhile=say("/metrics said meanwhile: {said}: ", said=trace.said) if trace.said else "",
        )
    if trace.says_nothing == "others":
        return say(
            "vllm:num_requests_running moves without us (before {before}, during {during}, "
            "after at most {after}): others use this server, try while they do not",
            before=trace.before,
            during=trace.during,
            after=max(count for _, count in trace.after),
        )
    if trace.room is not None and trace.generated is not None:
        return say(
            "the slot was free {freed_s:.1f} s after the client left, but the server "
            "generated {generated} tokens meanwhile and {room} were asked for: the request "
            "may have ended by itself, that proves nothing",
            freed_s=freed_s,
            generated=trace.generated,
            room=trace.room,
        )
    return say(
        "the aborted request would have ended by itself {natural_s:.1f} s later, the "
        "slot was free after {freed_s:.1f} s: that proves nothing",
        natural_s=trace.natural_s,
        freed_s=freed_s,
    )
