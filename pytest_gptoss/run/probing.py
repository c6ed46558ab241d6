"""Probing the devices of a run, each where it is: at an address, started here, or in a baseline file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from pytest_gptoss.config.settings import DeviceSettings
from pytest_gptoss.model.errors import MeasurementError
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.scenarios.devices import Access, Address, Met, ProbedDevice, Waiting, not_met, probe_all

__all__ = ["probe_devices"]


def probe_devices(
    devices: Sequence[DeviceSettings],
    *,
    url: Callable[[str], str],
    access: Access,
    waiting: Waiting,
    recorded: Mapping[str, ProbedDevice],
) -> tuple[tuple[ProbedDevice, ...], tuple[Measurement[ServerFacts], ...]]:
    """Every device as found, and the preflight measurements of those that were asked.

    ``url`` returns a device's address and raises MeasurementError where it has none: that is the device's
    problem. ``recorded`` are the devices of the baseline file.
    """
    addresses: list[Address] = []
    met: list[Met] = []
    for device in devices:
        if device.recorded:
            continue
        try:
            root = url(device.name)
        except MeasurementError as error:  # it was to be started here, and did not
            met.append(not_met(device.name, "start", str(error)))
        else:
            served = () if device.serve is None else device.serve.words
            addresses.append(
                Address(device.role, device.name, root, device.label, device.model, device.log, served)
            )
    met += probe_all(addresses, access, waiting)
    from_file = (each for each in devices if each.recorded and each.name in recorded)
    found = [
        *(probed for probed, _ in met),
        *(_as_called_now(recorded[each.name], each.label) for each in from_file),
    ]
    return tuple(found), tuple(preflight for _, preflight in met)


def _as_called_now(found: ProbedDevice, label: str | None) -> ProbedDevice:
    """A device of the baseline file; what the user calls it now is preferred to what it was called then."""
    if label is None or found.device is None:
        return found
    return dataclasses.replace(found, device=dataclasses.replace(found.device, label=label))
