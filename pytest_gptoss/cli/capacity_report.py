"""A server's capacity under a service level, and how it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.client.http import Timeouts, VllmClient
from pytest_gptoss.client.probe import probe
from pytest_gptoss.judge.capacity import capacity_of
from pytest_gptoss.model.capacity import CapacityProbe, CapacityTask, confirmed
from pytest_gptoss.model.errors import InsufficientData, UsageError
from pytest_gptoss.model.subjects import Device
from pytest_gptoss.scenarios.capacity import CapacityRun
from pytest_gptoss.scenarios.devices import Access
from pytest_gptoss.scenarios.job import Alone

__all__ = ["capacity_report", "lines"]


def capacity_report(
    task: CapacityTask, *, url: str, model: str | None, ca_bundle: Path | None, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Find the capacity of the server at ``url``, in requests a second.

    ``low`` and ``high`` are the rates nearest to it that are sure, None where there is none. ``problem`` says
    why ``capacity`` is None. Raises RequestError when the server cannot be reached or stops answering, and
    UsageError where the requests do not fit its context.
    """
    access = Access(timeouts=Timeouts(), ca_bundle=ca_bundle, trust_env=False)

    def make_client() -> VllmClient:
        return access.client("npu", url, model, url_option="--api-url")

    device = run_async(_probed(make_client(), model))
    run = CapacityRun(device, task, Alone(make_client, lambda: tell(_told(run.items[-1]))))
    for reason in run.left_out.values():
        raise UsageError(reason)
    run.measure()
    return {"url": device.url, "model": device.model, "task": asdict(task), **_found(run.items)}


async def _probed(client: VllmClient, model: str | None) -> Device:
    async with client:
        return await probe(client, role="npu", name="npu", label=None, model=model)


def _found(probes: tuple[CapacityProbe, ...]) -> dict[str, Any]:
    sure, capacity, problem = confirmed(probes), None, None
    try:
        capacity = capacity_of(probes).value
    except InsufficientData as error:
        problem = str(error)
    told = [
        {key: value for key, value in asdict(each).items() if key != "task"} | {"goodput": each.goodput}
        for each in probes
    ]
    return {
        "capacity": capacity,
        "low": sure.low,
        "high": sure.high,
        "problem": problem,
        "probes": told,
    }


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report for a person's eyes."""
    yield f"{'requests/s':>10}  {'goodput':>8}  {'95% interval':>16}  {'TTFT p50':>9}  {'p95':>9}  failed"
    for each in sorted(report["probes"], key=lambda each: each["rate"]):
        span = f"{each['low']:.1%} - {each['high']:.1%}"
        first, late = (_ms(each[key]) for key in ("ttft_p50_ms", "ttft_p95_ms"))
        yield (
            f"{each['rate']:>10g}  {each['goodput']:>8.1%}  {span:>16}  {first:>9}  {late:>9}  "
            f"{each['failed']:>6}"
        )
    if report["problem"] is not None:
        yield f"no capacity: {report['problem']}"
    else:
        ends = ["-" if report[key] is None else f"{report[key]:g}" for key in ("low", "high")]
        yield f"capacity {report['capacity']:.4g} requests/s, sure from {ends[0]} to {ends[1]}"


def _told(probe: CapacityProbe) -> str:
    """A probe that has ended, for a person who waits."""
    sure = "" if probe.decided else ", undecided"
    verb = "keep" if probe.keeps else "do not keep"
    return f"gptoss: {probe.rate:g} requests/s {verb} the service level ({probe.goodput:.1%}{sure})"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
