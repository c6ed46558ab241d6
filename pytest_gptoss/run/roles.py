"""Which devices of a run play in a verdict."""

from __future__ import annotations

from pytest_gptoss.config.plan import Plan
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.judge.roles import Roles

__all__ = ["roles_of"]


def roles_of(settings: Settings, plan: Plan, npu: str) -> Roles:
    """The devices that play in a verdict about ``npu``."""
    present = {device.role for device in settings.devices}
    first = settings.subjects[0] if settings.subjects else None
    return Roles(
        subject=npu,
        gpu="gpu" if "gpu" in present else None,
        cpu="cpu" if "cpu" in present else None,
        prompt_ids_of="gpu" if settings.inputs == "token-ids" and "gpu" in present else None,
        trials=settings.load.trials,
        cpu_sequences=settings.cpu_sequences,
        first=None if first == npu or settings.fleet else first,
        needle_lengths=plan.needle_lengths,
        audit=settings.load.audit,
        fleet=settings.fleet,
    )
