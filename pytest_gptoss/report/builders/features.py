"""Which configuration has which feature, by what is known of its server, and what its comparisons say."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.judge.facts import FactBook
from pytest_gptoss.judge.features import Facts, Rows, feature_findings
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Preflight
from pytest_gptoss.scenarios.serve_facts import facts_of_serve_line

__all__ = ["configured_features"]


def configured_features(store: Store, settings: Settings, rows: Rows) -> list[dict[str, Json]]:
    """Each feature with the configurations under test, as ``feature_findings`` says them.

    Of a server that did not start, its serve line and what the user states are known.
    """
    npus: Sequence[DeviceSettings] = [each for each in settings.devices if each.role == "npu"]
    facts = {each.name: _known(store, settings, each) for each in npus}
    return feature_findings(settings.subjects, facts, rows)


def _known(store: Store, settings: Settings, device: DeviceSettings) -> Facts:
    measurement = store.load(Preflight(device.name).id)
    server = measurement.items[0] if measurement is not None and measurement.items else None
    line = () if device.serve is None else facts_of_serve_line(device.serve.words)
    told = FactBook.of(device.name, server, settings.info.of_devices).facts
    return {**{fact.name: fact for fact in line}, **told}
