"""Options turned into one frozen Settings: everything a run needs to know, checked before it starts.

API keys are not here: they are read from the environment where a client is made, and nowhere kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pytest_gptoss.config.devices import DeviceSettings, devices_from
from pytest_gptoss.config.fleet_file import FleetNode
from pytest_gptoss.config.info import Info, info_from
from pytest_gptoss.config.load_options import load_from
from pytest_gptoss.config.needle_options import needle_from
from pytest_gptoss.config.option_values import CheckedOptions
from pytest_gptoss.config.options import DEFAULT_PROFILE, OPTION, OPTIONS
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.fleet import FleetTask
from pytest_gptoss.model.inputs import LoadShape, LoadTask, NeedleTask
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.language import Language
from pytest_gptoss.model.ledger_target import LedgerTarget

__all__ = [
    "DEFAULT_PROFILE",
    "Compare",
    "DeviceSettings",
    "Info",
    "Inputs",
    "NeedleGrid",
    "Settings",
    "settings_from",
]

Compare: TypeAlias = Literal["free", "forced"]
Inputs: TypeAlias = Literal["chat", "token-ids"]
NeedleGrid: TypeAlias = Literal["document", "full"]


@dataclass(frozen=True)
class Settings:
    """One run's settings. ``devices`` is empty when the user named none: acceptance tests then skip.

    ``profile`` None: the default one, or in a replay the one of the replayed run. ``replayed_workload``:
    the workload facts of that run. ``fleet``: the devices under test are its nodes.
    """

    devices: tuple[DeviceSettings, ...] = ()
    embedded: bool = False
    cpu_model: Path | None = None
    ca_bundle: Path | None = None
    trust_env: bool = False
    timeout_s: float = OPTION["timeout"].default
    first_token_timeout_s: float | None = None
    ready_timeout_s: float = OPTION["ready_timeout"].default
    profile: str | None = None
    thresholds: Path | None = None
    waivers: Mapping[str, str] | None = None
    compare: Compare = "free"
    inputs: Inputs = "chat"
    cpu_sequences: int = OPTION["cpu_sequences"].default
    lm_head: Path | None = None
    hidden_positions: int = OPTION["hidden_positions"].default
    prompts: Path | None = None
    max_scored_tokens: int | None = None
    needle: NeedleTask = field(default_factory=NeedleTask)
    needle_grid: NeedleGrid = "document"
    load: LoadTask = field(default_factory=LoadTask)
    report: Path = Path(OPTION["report"].default)
    lang: Language = "en"
    ledger: LedgerTarget | None = None
    record: Path | None = None
    baseline: Path | None = None
    replay: Path | None = None
    replayed_workload: Mapping[str, Json] | None = None
    info: Info = field(default_factory=Info)
    signatures: tuple[Path, ...] = ()
    fleet: FleetTask | None = None

    @property
    def active(self) -> bool:
        """Whether there is anything to judge: a device, a pair to start, or a run to replay."""
        return bool(self.devices) or self.replay is not None

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names of the devices under test, in the order given."""
        return tuple(device.name for device in self.devices if device.role == "npu")


def settings_from(
    options: CheckedOptions,
    *,
    recorded: Mapping[str, str | None],
    trace: LoadShape | None = None,
    nodes: Sequence[FleetNode] = (),
) -> Settings:
    """Freeze checked options.

    ``recorded``: the served model's name by device of the recorded baseline, empty without one; ``trace``:
    the load level of a trace; ``nodes``: those of a fleet. The caller has read their files. Raises
    UsageError naming the option, the value and the rule.
    """
    devices = devices_from(options, recorded, nodes)
    if devices and not any(device.role == "npu" for device in devices):
        given = ", ".join(sorted(options.origin(key) for key in options.values))
        raise UsageError(f"{given}: no device to accept; add --npu-url URL (or --embedded to try the suite)")
    _refuse_unmet_needs(options, devices)
    value = options.value
    return Settings(
        devices=devices,
        embedded=value("embedded"),
        cpu_model=value("cpu_model"),
        ca_bundle=value("ca_bundle"),
        trust_env=value("trust_env"),
        timeout_s=value("timeout"),
        first_token_timeout_s=value("first_token_timeout"),
        ready_timeout_s=value("ready_timeout"),
        profile=value("profile") or ("embedded" if value("embedded") else None),
        thresholds=value("thresholds"),
        waivers=dict(value("waive")),
        compare=value("compare"),
        inputs=value("inputs"),
        cpu_sequences=value("cpu_sequences"),
        lm_head=value("lm_head"),
        hidden_positions=value("hidden_positions"),
        prompts=value("prompts"),
        max_scored_tokens=value("max_scored_tokens"),
        needle=needle_from(options),
        needle_grid=value("needle_grid"),
        load=load_from(options, trace),
        report=options.base / value("report"),
        lang=value("lang"),
        ledger=value("ledger"),
        record=value("record"),
        baseline=value("baseline"),
        replay=value("replay"),
        info=info_from(options),
        signatures=value("signatures"),
        fleet=_fleet_from(options, nodes),
    )


def _fleet_from(options: CheckedOptions, nodes: Sequence[FleetNode]) -> FleetTask | None:
    task = FleetTask(
        tuple(each.name for each in nodes),
        options.value("fleet_canaries"),
        options.value("fleet_repeats"),
        options.value("fleet_parallel"),
    )
    return task if nodes else None


def _refuse_unmet_needs(options: CheckedOptions, devices: Sequence[DeviceSettings]) -> None:
    """Raise UsageError for an option about a device that this run lacks."""
    present = {device.role for device in devices}
    live = {device.role for device in devices if not device.recorded}
    for option in OPTIONS:
        need = option.needs
        if need is None or not options.given(option.key) or not (present or need.always):
            continue
        value = options.value(option.key)
        if need.value not in (None, value) or need.role in (live if need.live else present):
            continue
        stated = "" if need.value is None else f" is {value!r}"
        raise UsageError(f"{options.origin(option.key)}{stated}: {need.words}")
