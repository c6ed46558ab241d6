"""The devices of a run as its store keeps them."""

from __future__ import annotations

from pytest_gptoss.model.errors import DamagedFile
from pytest_gptoss.model.message import say
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.devices import ProbedDevice

__all__ = ["probed_devices"]


def probed_devices(store: Store) -> tuple[ProbedDevice, ...] | None:
    """The devices of a run as they were probed, None when they were not; raises DamagedFile."""
    found: tuple[ProbedDevice, ...] | None = store.load_document("devices", tuple[ProbedDevice, ...])
    for each in found or ():
        if each.device is not None and each.device.name != each.name:
            raise DamagedFile(
                say(
                    "run/devices.json: {name} holds {other}: measure again",
                    name=each.name,
                    other=each.device.name,
                )
            )
    return found
