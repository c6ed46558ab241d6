"""Hidden states that no server of the run is asked for: from a file, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_gptoss.config.settings import DeviceSettings
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Failure, Measurement
from pytest_gptoss.model.subjects import Device
from pytest_gptoss.scenarios.hidden_file import read_hidden
from pytest_gptoss.scenarios.scenario import Scenario

__all__ = ["without_server"]


def without_server(
    scenario: Scenario, device: Device, settings: DeviceSettings, corpus_sha256: str, *, recovered: bool
) -> Measurement[Any] | None:
    """Hidden states from a file, or the account of why none can be had; None: ask a server.

    ``recovered``: they come from log-probabilities, which the device itself is asked for.
    """
    if isinstance(settings.hidden, Path):
        return read_hidden(
            settings.hidden,
            scenario_id=scenario.id,
            device=scenario.device,
            corpus_sha256=corpus_sha256,
        )
    if settings.hidden is None and not (device.capabilities.pooling or recovered or settings.pooling):
        return _unsupported(scenario, device)
    return None


def _unsupported(scenario: Scenario, device: Device) -> Measurement[Any]:
    note = device.capabilities.notes.get("pooling")
    message = say(
        "{name} serves no /pooling{probed}: recover the states from its log-probabilities with "
        "--gptoss-lm-head DIR, or start a pooling server and name it with --gptoss-hidden-{role} URL, or "
        "record a file with 'pytest-gptoss hidden', or waive this threshold",
        name=device.name,
        probed=say(" (when probed: {note})", note=note) if note else "",
        role=device.role,
    )
    return Measurement(
        scenario.id, scenario.device, (), (Failure("*", "unsupported", message),), complete=False
    )
