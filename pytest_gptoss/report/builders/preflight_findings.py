"""What the preflight found out about every server, as reports draw it."""

from __future__ import annotations

from dataclasses import asdict

from pytest_gptoss.config.settings import Settings
from pytest_gptoss.judge.facts import FactBook
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Preflight

__all__ = ["preflight_findings"]


def preflight_findings(store: Store, settings: Settings) -> list[dict[str, Json]]:
    """A row a device: readiness, served models, clock, date, and every known fact with its source.

    What the user states stands among the facts unless the server tells it itself.
    """
    rows = []
    for device in settings.devices:
        measurement = store.load(Preflight(device.name).id)
        if measurement is None:
            continue
        server = measurement.items[0] if measurement.items else None
        problem = measurement.failures[0].message if measurement.failures else None
        known = FactBook.of(device.name, server, settings.info.of_devices).facts.values()
        rows.append(
            {
                "device": device.name,
                "ready": server is not None,
                "problem": problem or (server.problem if server and server.problem else None),
                "waited_s": server.waited_s if server else None,
                "listed": list(server.listed) if server else [],
                "clock_ahead_s": server.clock_ahead_s if server else None,
                "harmony_date": server.harmony_date if server else None,
                "facts": [asdict(fact) for fact in known],
            }
        )
    return rows
