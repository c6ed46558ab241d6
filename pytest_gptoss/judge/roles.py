"""Which devices play in a verdict."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gptoss.model.fleet import FleetTask

__all__ = ["Roles", "cpu_of", "first_of", "fleet_of", "gpu_of"]


@dataclass(frozen=True, slots=True)
class Roles:
    """Names of the devices in a verdict about ``subject``, a device under test; None where a role is empty.

    ``prompt_ids_of`` names the device whose prompt ids all are given, None when each renders its own.
    ``trials`` is how often each load level is measured.
    ``first`` is the first device under test, None where that is ``subject`` itself and in a fleet.
    ``cpu_sequences`` is how many of the baseline's answers the CPU reference scores.
    ``needle_lengths`` are the prompt lengths of the run's needle cells in tokens, shortest first.
    ``audit`` is how many answers of each load level are audited, None for all.
    ``fleet`` is the fleet that ``subject`` belongs to.
    """

    subject: str
    gpu: str | None = None
    cpu: str | None = None
    prompt_ids_of: str | None = None
    trials: int = 1
    first: str | None = None
    cpu_sequences: int = 24
    needle_lengths: tuple[int, ...] = ()
    audit: int | None = 64
    fleet: FleetTask | None = None


def gpu_of(roles: Roles) -> str:
    """The baseline; raises ValueError when there is none."""
    if roles.gpu is None:
        raise ValueError("this metric compares with a gpu, and there is none")
    return roles.gpu


def cpu_of(roles: Roles) -> str:
    """The CPU reference; raises ValueError when there is none."""
    if roles.cpu is None:
        raise ValueError("this metric compares with a cpu, and there is none")
    return roles.cpu


def first_of(roles: Roles) -> str:
    """The first device under test; raises ValueError when that is ``subject`` itself."""
    if roles.first is None:
        raise ValueError("this metric compares with the first device under test, and that is this one")
    return roles.first


def fleet_of(roles: Roles) -> FleetTask:
    """The fleet; raises ValueError when there is none."""
    if roles.fleet is None:
        raise ValueError("this metric compares with the other nodes of a fleet, and there is none")
    return roles.fleet
