"""The devices of a run: where each is, what the user calls it, and which combinations make no sense."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from pytest_gptoss.config.device_names import npu_models, npu_urls, values_by_name
from pytest_gptoss.config.fleet_file import FleetNode
from pytest_gptoss.config.option_values import CheckedOptions
from pytest_gptoss.config.serve_options import Served, kept_log, pooling_variant, served_from
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.serve_command import ServeCommand
from pytest_gptoss.model.subjects import LOGPROBS, Role
from pytest_gptoss.model.urls import server_address, server_root

__all__ = ["DeviceSettings", "devices_from"]

_MODEL_KEYS: Mapping[Role, str] = {"npu": "npu_model", "gpu": "gpu_model", "cpu": "cpu_model_name"}
"""The option that names a role's served model."""
_START_KEYS: Mapping[Role, tuple[str, ...]] = {"gpu": ("embedded", "gpu_serve"), "cpu": ("cpu_model",)}
"""The options that have the run start a role's server."""


@dataclass(frozen=True)
class DeviceSettings:
    """Where a device is and what the user calls it; nothing about it is known yet.

    ``url`` None: the run starts it (``--embedded``, ``--gptoss-cpu-model``), or it is ``recorded`` in the
    baseline. ``hidden`` is a pooling server's URL, a recorded file or LOGPROBS, None for the device's own
    ``/pooling``. ``log`` is its server's log file. ``serve`` is the command line that starts it,
    ``pooling`` the one that starts the server of its hidden states; servers of commands run one at a time.
    """

    role: Role
    name: str
    url: str | None
    label: str | None = None
    model: str | None = None
    hidden: str | Path | None = None
    log: Path | None = None
    recorded: bool = False
    serve: ServeCommand | None = None
    pooling: ServeCommand | None = None


def devices_from(
    options: CheckedOptions, recorded: Mapping[str, str | None], nodes: Sequence[FleetNode] = ()
) -> tuple[DeviceSettings, ...]:
    """Every device of the run; none when the user named none.

    ``recorded``: the served model's name by device of the recorded baseline; a live device is preferred.
    ``nodes`` are those of a fleet, the devices under test. Raises UsageError for a device that cannot be told
    from another one.
    """
    served, pooling = served_from(options), options.value("serve_pooling")
    devices = [
        _managed(options, each, served[each.name], pooling=pooling) if each.name in served else each
        for each in (*(_of_fleet(options, nodes) or _npus(options, served)), *_others(options, recorded))
    ]
    _refuse_twins(options, devices)
    _refuse_comparison_with_itself(options, devices)
    _refuse_impossible_recovery(options, devices)
    return tuple(devices)


def _managed(
    options: CheckedOptions, device: DeviceSettings, command: ServeCommand, *, pooling: bool
) -> DeviceSettings:
    """A device that the run starts by a command, and the server of its hidden states where ``pooling``."""
    return dataclasses.replace(
        device,
        serve=command,
        pooling=pooling_variant(command) if pooling else None,
        log=device.log or kept_log(options, device.name),
    )


def _of_fleet(options: CheckedOptions, nodes: Sequence[FleetNode]) -> list[DeviceSettings]:
    hidden = values_by_name(options, "hidden_npu", {each.name: each.url for each in nodes}) if nodes else {}
    return [
        DeviceSettings("npu", each.name, each.url, each.label, each.model, hidden.get(each.name), each.log)
        for each in nodes
    ]


def _npus(options: CheckedOptions, served: Served) -> list[DeviceSettings]:
    urls = npu_urls(options, taken=[name for name in served if name != "gpu"])
    names: dict[str, str | None] = {"npu": None} if options.value("embedded") else urls
    labels = values_by_name(options, "npu_label", names)
    models = npu_models(options, names)
    hidden = values_by_name(options, "hidden_npu", names)
    # A log alone, named in an ini file say, asks for no run.
    logs = values_by_name(options, "npu_log", names) if names else {}
    return [
        DeviceSettings(
            "npu",
            name,
            url,
            labels.get(name),
            models.get(name),
            hidden.get(name),
            logs.get(name),
        )
        for name, url in names.items()
    ]


def _others(options: CheckedOptions, recorded: Mapping[str, str | None]) -> Iterable[DeviceSettings]:
    """The baseline and the reference, started, running or recorded."""
    roles: tuple[Role, ...] = ("gpu", "cpu")
    for role in roles:
        live = any(map(options.given, (*_START_KEYS[role], f"{role}_url")))
        if not live and role not in recorded:
            continue
        device = DeviceSettings(
            role,
            role,
            options.value(f"{role}_url"),
            options.value(f"{role}_label"),
            options.value(_MODEL_KEYS[role]),
            options.value(f"hidden_{role}"),
            options.value("gpu_log") if role == "gpu" else None,
            recorded=not live,
        )
        if not live:
            _refuse_other_model(options, device, recorded[role])
        yield device


def _refuse_other_model(options: CheckedOptions, device: DeviceSettings, model: str | None) -> None:
    """Raise UsageError when the user names another served model than the baseline was recorded from."""
    if None not in (device.model, model) and device.model != model:
        key = _MODEL_KEYS[device.role]
        raise UsageError(
            f"{options.origin(key)} is {device.model!r}, but {options.origin('baseline')} was recorded "
            f"from {model!r}: record it again, or leave the name out"
        )


def _refuse_twins(options: CheckedOptions, devices: Sequence[DeviceSettings]) -> None:
    """One server as two devices under test, or as a reference besides, agrees with itself.

    The device under test and the baseline are left to ``preflight.distinct``, which can be waived: a
    gateway may lead to both. So are two that are given a name of a model each: a gateway may choose by it.
    """
    placed = [(server_address(each.url), each.url, each) for each in devices if each.url is not None]
    for (address, url, twin), (other, _, device) in combinations(placed, 2):
        named = twin.model is not None and device.model is not None and twin.model != device.model
        if address != other or named or {twin.role, device.role} == {"npu", "gpu"}:
            continue
        names = f"{_address_origin(options, twin.role)} {twin.name} and "
        names += f"{_address_origin(options, device.role)} {device.name}"
        flags = " and ".join(dict.fromkeys(_model_flag(each) for each in (twin, device)))
        raise UsageError(
            f"{names} are both {server_root(url)}: a server agrees with itself; give each its own address, "
            f"or, where a gateway chooses the server by the model's name, its model: {flags}"
        )


def _address_origin(options: CheckedOptions, role: Role) -> str:
    """Where the addresses of a role's devices were given."""
    return options.origin("fleet" if role == "npu" and options.given("fleet") else f"{role}_url")


def _model_flag(device: DeviceSettings) -> str:
    """How a served model's name is given for a device."""
    name = f"{device.name}=" if device.role == "npu" else ""
    return f"--gptoss-{_MODEL_KEYS[device.role].replace('_', '-')} {name}MODEL"


def _refuse_comparison_with_itself(options: CheckedOptions, devices: Iterable[DeviceSettings]) -> None:
    """Raise UsageError when two devices' hidden states come from one place and an option says so."""
    seen: dict[str, tuple[str, str, bool]] = {}
    for device in devices:
        named = device.hidden not in (None, LOGPROBS)
        source = device.hidden if named else device.url
        if source is None:
            continue
        place = str(source.resolve()) if isinstance(source, Path) else server_address(source)
        told = options.origin(f"hidden_{device.role}") if named else _address_origin(options, device.role)
        ours = f"{told} ({device.name})"
        other, theirs, other_named = seen.setdefault(place, (device.name, ours, named))
        if other != device.name and (named or other_named):
            raise UsageError(
                f"{theirs} and {ours} name one source of hidden states, {source}: "
                "compared with themselves they are always equal; give each device its own"
            )


def _refuse_impossible_recovery(options: CheckedOptions, devices: Iterable[DeviceSettings]) -> None:
    """Raise UsageError where hidden states shall be recovered without an lm_head, or of a recorded device."""
    for asked in (device for device in devices if device.hidden == LOGPROBS):
        origin = options.origin(f"hidden_{asked.role}")
        if not options.given("lm_head"):
            raise UsageError(
                f"{origin} is {LOGPROBS!r}: hidden states are recovered with the checkpoint's lm_head; add "
                "--gptoss-lm-head DIR"
            )
        if asked.recorded:
            raise UsageError(
                f"{origin} is {LOGPROBS!r}, but {asked.name} is recorded in {options.origin('baseline')} and "
                "cannot be asked: leave the option out, or record its hidden states too"
            )
