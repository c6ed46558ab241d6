"""Options turned into one frozen Settings: everything a run needs to know, checked before it starts.

API keys are not here: they are read from the environment where a client is made, and nowhere kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from pathlib import Path
from typing import Literal, TypeAlias, cast

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.config.options import OptionValues
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadEndpoint, LoadTask, NeedleTask
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.language import LANGUAGES, Language
from pytest_gptoss.model.subjects import Role
from pytest_gptoss.run.baseline import read_baseline
from pytest_gptoss.scenarios.devices import ProbedDevice
from pytest_gptoss.scenarios.kinds import CORPUS
from pytest_gptoss.scenarios.load_plan import read_levels

__all__ = ["DEFAULT_PROFILE", "DeviceSettings", "Info", "Inputs", "NeedleGrid", "Settings", "settings_from"]

Inputs: TypeAlias = Literal["chat", "token-ids"]
NeedleGrid: TypeAlias = Literal["document", "full"]

VERSION_FACTS = ("vllm", "vllm_ascend", "cann", "torch", "torch_npu")
"""Facts about a device that are versions, and are compared with the least ones allowed."""
WORD_FACTS: Mapping[str, tuple[str, ...]] = {
    "cudagraph_mode": ("NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE"),
    "platform": ("npu", "cuda", "rocm", "cpu", "other"),
}
"""Facts that take one of a few words: another one would be looked up in vain and acquit the server."""

DEFAULT_PROFILE = "atlas-800-a2"
DEFAULT_REPORT = "gptoss-report"
_OF_SERVERS = (
    "npu_url", "gpu_url", "cpu_url", "embedded", "baseline", "record", "cpu_model", "npu_log", "gpu_log",
    "npu_label", "gpu_label", "cpu_label", "npu_model", "gpu_model", "cpu_model_name",
    "hidden_npu", "hidden_gpu", "hidden_cpu", "load_gpu",
)  # fmt: skip
"""Options that speak of servers, which a replay has none of."""
_NEEDS_ROLE: Mapping[Role, tuple[tuple[str, ...], str]] = {
    "gpu": (
        ("gpu_label", "gpu_model", "gpu_log", "hidden_gpu"),
        "add --gpu-url URL or --gptoss-baseline FILE",
    ),
    "cpu": (
        ("cpu_label", "cpu_model_name", "hidden_cpu"),
        "add --cpu-url URL or --gptoss-cpu-model DIR",
    ),
}
"""Options that mean nothing without a device in a role, and how to get one."""
_MEASURED_ALREADY = (
    "concurrency", "num_requests", "max_tokens", "prompt_len", "bench_endpoint", "trials",
    "needle", "question", "expect", "needle_grid", "needle_trials", "seed", "max_context_len",
)  # fmt: skip
"""Options that say what to measure: a replay has them from the run it judges again."""
LEAST_PROMPT = 160
"""Fewest tokens of a prompt under load: the chat's frame, the question and a sentence or two."""

SAYS_EVERY_WORD = 3000
"""So many sentences of a haystack hold every word of its language."""


@dataclass(frozen=True)
class DeviceSettings:
    """Where a device is and what the user calls it; nothing about it is known yet.

    ``url`` None: the run starts it (``--embedded``, ``--gptoss-cpu-model``), or it is ``recorded`` in the
    baseline. ``hidden`` is a pooling server's URL or a recorded file, None for the device's own
    ``/pooling``. ``log`` is its server's log file.
    """

    role: Role
    name: str
    url: str | None
    label: str | None = None
    model: str | None = None
    hidden: str | Path | None = None
    log: Path | None = None
    recorded: bool = False


@dataclass(frozen=True)
class Info:
    """Facts that the user states: ``of_devices`` by device and fact, ``of_run`` by fact."""

    of_devices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    of_run: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """One run's settings. ``devices`` is empty when the user named none: acceptance tests then skip.

    ``profile`` None: the default one, or in a replay the one of the replayed run. ``replayed_workload``:
    the workload facts of that run.
    """

    devices: tuple[DeviceSettings, ...] = ()
    embedded: bool = False
    cpu_model: Path | None = None
    ca_bundle: Path | None = None
    trust_env: bool = False
    timeout_s: float = 60.0
    first_token_timeout_s: float | None = None
    ready_timeout_s: float = 600.0
    profile: str | None = None
    thresholds: Path | None = None
    waivers: Mapping[str, str] | None = None
    inputs: Inputs = "chat"
    prompts: Path | None = None
    needle: NeedleTask = field(default_factory=NeedleTask)
    needle_grid: NeedleGrid = "document"
    load: LoadTask = field(default_factory=LoadTask)
    report: Path = Path(DEFAULT_REPORT)
    lang: Language = "en"
    record: Path | None = None
    baseline: Path | None = None
    replay: Path | None = None
    replayed_workload: Mapping[str, Json] | None = None
    info: Info = field(default_factory=Info)
    signatures: tuple[Path, ...] = ()

    @property
    def active(self) -> bool:
        """Whether there is anything to judge: a device, a pair to start, or a run to replay."""
        return bool(self.devices) or self.replay is not None

    @property
    def npus(self) -> tuple[str, ...]:
        """Names of the devices under test, in the order given."""
        return tuple(device.name for device in self.devices if device.role == "npu")


def settings_from(options: OptionValues, *, base: Path) -> Settings:
    """Check all options together and freeze them; relative paths are taken from ``base``.

    Raises UsageError naming the option, the value and the rule.
    """
    embedded = options.on("embedded")
    replay = _directory(options, "replay", base)
    baseline = _file(options, "baseline", base)
    cpu_model = _directory(options, "cpu_model", base)
    _refuse_contradictions(options, embedded=embedded)
    recorded = read_baseline(baseline).devices if baseline is not None else {}
    devices = _devices(
        options, embedded=embedded, cpu_model=cpu_model is not None, recorded=recorded, base=base
    )
    _refuse_comparison_with_itself(options, devices)
    if devices and replay is None and not any(device.role == "npu" for device in devices):
        given = ", ".join(sorted(options.origin(key) for key in options.values))
        raise UsageError(f"{given}: no device to accept; add --npu-url URL (or --embedded to try the suite)")
    load = _load(options)
    if load.gpu and not any(device.role == "gpu" and not device.recorded for device in devices):
        raise UsageError(f"{options.origin('load_gpu')}: no GPU server to put under load; add --gpu-url URL")
    record = options.one("record")
    has_gpu = any(device.role == "gpu" for device in devices)
    if record is not None and not has_gpu:
        raise UsageError(f"{options.origin('record')}: no baseline to record; add --gpu-url URL")
    inputs = cast("Inputs", _choice(options, "inputs", ("chat", "token-ids")))
    if inputs == "token-ids" and devices and not has_gpu:
        raise UsageError(
            f"{options.origin('inputs')} is {inputs!r}: no baseline whose prompt ids could be sent; "
            "add --gpu-url URL or --gptoss-baseline FILE"
        )
    return Settings(
        devices=devices,
        embedded=embedded,
        cpu_model=cpu_model,
        ca_bundle=_file(options, "ca_bundle", base),
        trust_env=options.on("trust_env"),
        timeout_s=_seconds(options, "timeout", 60.0),
        first_token_timeout_s=(
            _seconds(options, "first_token_timeout", 0.0) if options.one("first_token_timeout") else None
        ),
        ready_timeout_s=_seconds(options, "ready_timeout", 600.0),
        profile=options.one("profile") or ("embedded" if embedded else None),
        thresholds=_file(options, "thresholds", base),
        waivers=_waivers(options),
        inputs=inputs,
        prompts=_file(options, "prompts", base),
        needle=_needle(options),
        needle_grid=cast("NeedleGrid", _choice(options, "needle_grid", ("document", "full"))),
        load=load,
        report=base / (options.one("report") or DEFAULT_REPORT),
        lang=cast("Language", _choice(options, "lang", LANGUAGES)),
        record=base / record if record is not None else None,
        baseline=baseline,
        replay=replay,
        info=_info(options),
        signatures=tuple(
            _existing(options, "signatures", value, base) for value in options.many("signatures")
        ),
    )


def _refuse_contradictions(options: OptionValues, *, embedded: bool) -> None:
    urls = [key for key in ("npu_url", "gpu_url") if options.values.get(key)]
    if embedded and urls:
        raise UsageError(
            f"{options.origin('embedded')} and {options.origin(urls[0])} exclude each other: "
            "the embedded pair is both npu and gpu"
        )
    if options.one("baseline") and (options.one("gpu_url") or embedded):
        other = "embedded" if embedded else "gpu_url"
        raise UsageError(
            f"{options.origin('baseline')} and {options.origin(other)} exclude each other: "
            "a recorded baseline stands in for the GPU server"
        )
    if options.one("replay"):
        live = [key for key in _OF_SERVERS if options.values.get(key)]
        if live:
            raise UsageError(
                f"{options.origin('replay')} and {options.origin(live[0])} exclude each other: "
                "a replay judges what was measured and asks no server"
            )
        asked = [key for key in _MEASURED_ALREADY if options.values.get(key)]
        asked += [key for key in ("load_gpu", "no_calibration") if options.on(key)]
        if asked:
            raise UsageError(
                f"{options.origin('replay')} and {options.origin(asked[0])} exclude each other: "
                "a replay takes load and needles as they were measured"
            )
    if options.one("cpu_model") and options.one("cpu_url"):
        raise UsageError(
            f"{options.origin('cpu_model')} and {options.origin('cpu_url')} exclude each other: "
            "either start the CPU reference or name a running one"
        )


def _refuse_homeless(options: OptionValues, roles: Iterable[Role]) -> None:
    """Raise UsageError for an option about a device that this run lacks; a run of none misses none."""
    present = set(roles)
    for role, (keys, remedy) in _NEEDS_ROLE.items():
        given = next((key for key in keys if options.values.get(key)), None)
        if present and role not in present and given is not None:
            raise UsageError(f"{options.origin(given)}: there is no {role} in this run; {remedy}")


def _refuse_comparison_with_itself(options: OptionValues, devices: Iterable[DeviceSettings]) -> None:
    """Raise UsageError when two devices' hidden states come from one place and an option says so."""
    seen: dict[str, tuple[str, str, bool]] = {}
    for device in devices:
        source = device.hidden if device.hidden is not None else device.url
        if source is None:
            continue
        named = device.hidden is not None
        place = str(source.resolve()) if isinstance(source, Path) else Endpoint.parse(source).root
        key = f"hidden_{device.role}" if named else f"{device.role}_url"
        ours = f"{options.origin(key)} ({device.name})"
        other, theirs, other_named = seen.setdefault(place, (device.name, ours, named))
        if other != device.name and (named or other_named):
            raise UsageError(
                f"{theirs} and {ours} name one source of hidden states, {source}: "
                "compared with themselves they are always equal; give each device its own"
            )


def _devices(
    options: OptionValues,
    *,
    embedded: bool,
    cpu_model: bool,
    recorded: Mapping[str, ProbedDevice],
    base: Path,
) -> tuple[DeviceSettings, ...]:
    """Every device of the run; ``recorded`` are the baseline file's: a live CPU is preferred to its."""
    npus = {"npu": None} if embedded else _npu_urls(options)
    labels = _by_name(options, "npu_label", npus)
    npu_models = _npu_models(options, npus)
    hidden = _by_name(options, "hidden_npu", npus)
    logs = _by_name(options, "npu_log", npus) if npus else {}
    devices = [
        DeviceSettings(
            "npu",
            name,
            url,
            labels.get(name),
            npu_models.get(name),
            _hidden(options, "hidden_npu", hidden.get(name), base),
            _existing(options, "npu_log", logs[name], base) if name in logs else None,
        )
        for name, url in npus.items()
    ]
    models = {"gpu": options.one("gpu_model"), "cpu": options.one("cpu_model_name")}
    live = {
        "gpu": embedded or options.one("gpu_url") is not None,
        "cpu": cpu_model or options.one("cpu_url") is not None,
    }
    others: tuple[Role, ...] = ("gpu", "cpu")
    for role in others:
        url = options.one(f"{role}_url")
        device = DeviceSettings(
            role,
            role,
            _url(options, f"{role}_url", url) if url else None,
            options.one(f"{role}_label"),
            models[role],
            _hidden(options, f"hidden_{role}", options.one(f"hidden_{role}"), base),
            _file(options, "gpu_log", base) if role == "gpu" else None,
            recorded=not live[role],
        )
        if live[role]:
            devices.append(device)
        elif role in recorded:
            _refuse_other_model(options, device, recorded[role])
            devices.append(device)
    _refuse_homeless(options, [device.role for device in devices])
    _refuse_twins(options, devices)
    return tuple(devices)


def _refuse_other_model(options: OptionValues, device: DeviceSettings, recorded: ProbedDevice) -> None:
    """Raise UsageError when the user names another served model than the baseline was recorded from."""
    model = None if recorded.device is None else recorded.device.model
    if None not in (device.model, model) and device.model != model:
        key = "gpu_model" if device.role == "gpu" else "cpu_model_name"
        raise UsageError(
            f"{options.origin(key)} is {device.model!r}, but {options.origin('baseline')} was recorded "
            f"from {model!r}: record it again, or leave the name out"
        )


def _refuse_twins(options: OptionValues, devices: Sequence[DeviceSettings]) -> None:
    """One server as two devices under test, or as a reference besides, agrees with itself.

    The device under test and the baseline are left to ``preflight.distinct``, which can be waived: a
    gateway may lead to both. So are two that are given a name of a model each: a gateway may choose by it.
    """
    placed = [(Endpoint.parse(each.url).root, each) for each in devices if each.url is not None]
    for (root, twin), (other, device) in combinations(placed, 2):
        named = twin.model is not None and device.model is not None and twin.model != device.model
        if root != other or named or {twin.role, device.role} == {"npu", "gpu"}:
            continue
        keys = {"npu": "npu_model", "gpu": "gpu_model", "cpu": "cpu_model_name"}
        names = f"{options.origin(f'{twin.role}_url')} {twin.name} and "
        names += f"{options.origin(f'{device.role}_url')} {device.name}"
        flags = " and ".join(dict.fromkeys(_flag(keys[each.role], each) for each in (twin, device)))
        raise UsageError(
            f"{names} are both {root}: a server agrees with itself; give each its own address, or, where a "
            f"gateway chooses the server by the model's name, its model: {flags}"
        )


def _flag(key: str, device: DeviceSettings) -> str:
    """How a served model's name is given for a device."""
    name = f"{device.name}=" if device.role == "npu" else ""
    return f"--gptoss-{key.replace('_', '-')} {name}MODEL"


def _npu_models(options: OptionValues, names: Mapping[str, str | None]) -> dict[str, str]:
    """The served model of every device under test that is given one; without a name it is every other's."""
    found: dict[str, str] = {}
    of_all: list[str] = []
    for value in options.many("npu_model"):
        head, mark, model = value.partition("=")
        if not mark or head not in names:
            of_all.append(value)
        elif head in found or not model:
            raise UsageError(f"{options.origin('npu_model')} is {value!r}: name one model for {head!r}, once")
        else:
            found[head] = model
    if len(of_all) > 1:
        raise UsageError(
            f"{options.origin('npu_model')} is given as {of_all[0]!r} and {of_all[1]!r}: say which device "
            f"each is for, NAME=MODEL; devices: {', '.join(names) or 'none'}"
        )
    return {**dict.fromkeys(names, of_all[0]), **found} if of_all else found


def _npu_urls(options: OptionValues) -> dict[str, str | None]:
    urls: dict[str, str | None] = {}
    for value in options.many("npu_url"):
        name, url = _split_name(value, default="npu")
        if name in urls:
            raise UsageError(
                f"{options.origin('npu_url')}: the name {name!r} is given twice; "
                "name each device, as in --npu-url tp1=URL --npu-url tp8=URL"
            )
        if name in ("gpu", "cpu"):
            raise UsageError(f"{options.origin('npu_url')}: the name {name!r} belongs to another role")
        if name == CORPUS:
            raise UsageError(f"{options.origin('npu_url')}: {name!r} names the fixed texts: choose another")
        urls[name] = _url(options, "npu_url", url)
    return urls


def _split_name(value: str, *, default: str) -> tuple[str, str]:
    head, mark, tail = value.partition("=")
    if mark and head and "/" not in head and ":" not in head:
        if not all(char.isascii() and (char.isalnum() or char in "_.-") for char in head):
            raise UsageError(f"device name {head!r}: letters, digits, '_', '-' and '.' only")
        return head, tail
    return default, value


def _by_name(options: OptionValues, key: str, names: Mapping[str, str | None]) -> dict[str, str]:
    """Values of a ``[NAME=]TEXT`` option; without a name they belong to the only device."""
    found: dict[str, str] = {}
    for value in options.many(key):
        head, mark, tail = value.partition("=")
        if mark and head in names:
            name, text = head, tail
        elif len(names) == 1:
            name, text = next(iter(names)), value
        else:
            known = ", ".join(names) or "none"
            raise UsageError(
                f"{options.origin(key)} is {value!r}: say which device it is for, NAME=...; devices: {known}"
            )
        if name in found:
            raise UsageError(f"{options.origin(key)} is given twice for device {name!r}: keep one")
        found[name] = text
    return found


def _url(options: OptionValues, key: str, url: str) -> str:
    try:
        Endpoint.parse(url)
    except UsageError as error:
        raise UsageError(f"{options.origin(key)}: {error}") from None
    return url


def _hidden(options: OptionValues, key: str, value: str | None, base: Path) -> str | Path | None:
    if value is None:
        return None
    if "://" in value:
        return _url(options, key, value)
    path = base / value
    if not path.is_file():
        raise UsageError(
            f"{options.origin(key)} is {value!r}: neither a URL nor a file that exists; "
            "record one with: pytest-gptoss hidden --url URL --output FILE.npz"
        )
    return path


def _file(options: OptionValues, key: str, base: Path) -> Path | None:
    value = options.one(key)
    return None if value is None else _existing(options, key, value, base)


def _existing(options: OptionValues, key: str, value: str, base: Path) -> Path:
    path = base / value
    if not path.is_file():
        raise UsageError(f"{options.origin(key)} is {value!r}: no such file")
    return path


def _directory(options: OptionValues, key: str, base: Path) -> Path | None:
    value = options.one(key)
    if value is None:
        return None
    if key == "cpu_model" and value == "tiny":
        return Path("tiny")
    path = base / value
    if not path.is_dir():
        raise UsageError(f"{options.origin(key)} is {value!r}: no such directory")
    return path


def _seconds(options: OptionValues, key: str, default: float) -> float:
    value = options.one(key)
    if value is None:
        return default
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"{options.origin(key)} is {value!r}: it takes a number of seconds above 0")
    return seconds


def _number(options: OptionValues, key: str, default: int, *, least: int) -> int:
    value = options.one(key)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit()) or len(value) > 18 or int(value) < least:
        raise UsageError(f"{options.origin(key)} is {value!r}: it takes a whole number from {least} on")
    return int(value)


def _needle(options: OptionValues) -> NeedleTask:
    """What is hidden and asked for; the expected answer is the needle's last number unless given."""
    usual = NeedleTask()
    needle = options.one("needle") or usual.needle
    question = options.one("question") or usual.question
    numbers = re.findall(r"[0-9]+", needle)
    expect = options.one("expect") or (numbers[-1] if numbers else None)
    trials = _number(options, "needle_trials", usual.trials, least=1)
    if expect is None:
        raise UsageError(
            f"{options.origin('needle')} is {needle!r}, which holds no number: "
            "say what the answer must name with --gptoss-expect TEXT"
        )
    if expect not in needle:
        origin = options.origin("expect")
        raise UsageError(f"{origin} is {expect!r}, which is no part of the needle {needle!r}: correct one")
    if _stands_in_prose(expect, f"{needle}{question}"):
        raise UsageError(
            f"{options.origin('expect')} is {expect!r}, which the haystack says by itself: "
            "expect a number, or a word of your own"
        )
    if expect in question:
        raise UsageError(
            f"{options.origin('question')} is {question!r}, which gives the answer {expect!r} away: "
            "ask without it"
        )
    if trials > 1 and not re.search(r"[0-9A-Za-z]", expect):
        raise UsageError(
            f"{options.origin('needle_trials')} is {trials}, and {expect!r} holds no digit or letter to draw "
            "other codes from: expect a number"
        )
    return NeedleTask(
        needle=needle,
        question=question,
        expect=expect,
        trials=trials,
        seed=_number(options, "seed", usual.seed, least=0),
        max_context_len=_number(options, "max_context_len", usual.max_context_len, least=1),
    )


def _stands_in_prose(word: str, task: str) -> bool:
    """Whether haystacks in the task's language say a word by themselves. A number never: they hold none."""
    if word.isdigit():
        return False
    from pytest_gptoss.judge.codes import names_code
    from pytest_gptoss.scenarios import prose

    language = prose.language_of(task)
    fillers = (prose.filler(24, turn, language) for turn in range(6))
    text = prose.join([*islice(prose.sentences(0, language), SAYS_EVERY_WORD), *fillers], language)
    return word in text if language == "zh" else names_code(text.lower(), word.lower())


def _load(options: OptionValues) -> LoadTask:
    """How load is measured; whatever is not given stays as the profile says."""
    return LoadTask(
        concurrency=_concurrency(options),
        requests=_given(options, "num_requests"),
        # One token alone has no time per output token.
        max_tokens=_given(options, "max_tokens", least=2),
        prompt_tokens=_given(options, "prompt_len", least=LEAST_PROMPT),
        endpoint=cast("LoadEndpoint", _choice(options, "bench_endpoint", ("chat", "completions"))),
        trials=_number(options, "trials", 1, least=1),
        gpu=options.on("load_gpu"),
        calibrate=not options.on("no_calibration"),
    )


def _given(options: OptionValues, key: str, *, least: int = 1) -> int | None:
    return None if options.one(key) is None else _number(options, key, 0, least=least)


def _concurrency(options: OptionValues) -> tuple[int, ...] | None:
    value = options.one("concurrency")
    if value is None:
        return None
    return read_levels(value, options.origin("concurrency"))


def _choice(options: OptionValues, key: str, choices: tuple[str, ...]) -> str:
    value = options.one(key)
    if value is None:
        return choices[0]
    if value not in choices:
        raise UsageError(f"{options.origin(key)} is {value!r}: it takes {' or '.join(choices)}")
    return value


def _waivers(options: OptionValues) -> dict[str, str]:
    waivers: dict[str, str] = {}
    for value in options.many("waive"):
        threshold, mark, reason = value.partition("=")
        if not mark or not threshold.strip() or not reason.strip():
            raise UsageError(
                f"{options.origin('waive')} is {value!r}: it takes ID=REASON, and a waiver needs its reason"
            )
        waivers[threshold.strip()] = reason.strip()
    return waivers


def _info(options: OptionValues) -> Info:
    """Facts by device and of the run. Whether the devices exist is known later, in a replay for one."""
    of_devices: dict[str, dict[str, str]] = {}
    of_run: dict[str, str] = {}
    for given in options.many("info"):
        key, mark, value = (part.strip() for part in given.partition("="))
        device, dot, fact = key.rpartition(".")
        if not mark or not value or not re.fullmatch(r"(?:[A-Za-z0-9_.-]+\.)?[A-Za-z0-9_-]+", key):
            raise UsageError(
                f"{options.origin('info')} is {given!r}: it takes DEVICE.FACT=VALUE, as npu.cann=8.5.1, "
                "or FACT=VALUE for a fact of the run"
            )
        facts = of_devices.setdefault(device, {}) if dot else of_run
        if fact in facts:
            raise UsageError(
                f"{options.origin('info')}: {key} is stated twice, {facts[fact]!r} and {value!r}: keep one"
            )
        if fact in VERSION_FACTS and dot and not re.match(r"v?\d+(\.\d+)+", value):
            raise UsageError(
                f"{options.origin('info')}: {key} is {value!r}: it takes a version, as {key}=8.5.1"
            )
        words = WORD_FACTS.get(fact, ()) if dot else ()
        if words and value.lower() not in map(str.lower, words):
            raise UsageError(
                f"{options.origin('info')}: {key} is {value!r}: it takes one of {', '.join(words)}"
            )
        facts[fact] = value
    return Info(of_devices, of_run)
