"""Recording a baseline: what a run has measured on its baseline and reference, kept for other runs."""

from __future__ import annotations

from collections.abc import Callable

from pytest_gptoss.config.plan import Plan
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.run.baseline import record_baseline
from pytest_gptoss.run.probed import probed_devices
from pytest_gptoss.run.store import Store

__all__ = ["record_run"]


def record_run(
    settings: Settings, plan: Plan, store: Store, *, tell: Callable[[str], None]
) -> tuple[str, ...]:
    """Write the baseline file the user asked for; returns the scenarios it holds.

    Nobody is asked for it: what an interruption has left unmeasured is not there, and where nothing
    is there an earlier file stays.
    """
    path = settings.record
    if path is None:
        return ()
    roles = {device.name: device.role for device in settings.devices}
    devices = {
        each.name: each.document()
        for each in probed_devices(store) or ()
        if roles.get(each.name) in ("gpu", "cpu") and each.device is not None
    }
    facts = {**plan.workload.facts(), "inputs": settings.inputs}
    kept = record_baseline(path, store, devices, facts) if "gpu" in devices else ()
    if not kept:
        stays = "the one that is there stays" if path.exists() else "it is not written"
        tell(f"gptoss: no baseline was measured for {path.name}: {stays}")
    return kept
