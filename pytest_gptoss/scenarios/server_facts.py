"""Facts that a server does not tell over its API: read from ``/server_info`` and from its log.

vLLM serves ``/server_info`` with ``VLLM_SERVER_DEV_MODE=1``; its log tells the engine's configuration
once at start-up, in a line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_gptoss.client.bodies import condense
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.subjects import KnownFact

__all__ = ["facts_of_log", "facts_of_server_info"]

_CONFIG = (
    "dtype", "quantization", "enforce_eager", "tensor_parallel_size", "pipeline_parallel_size",
    "enable_expert_parallel", "max_num_batched_tokens", "max_num_seqs",
)  # fmt: skip

_GRAPH_MODES: Mapping[Json, str] = {
    0: "NONE", 1: "PIECEWISE", 2: "FULL", (2, 0): "FULL_DECODE_ONLY", (2, 1): "FULL_AND_PIECEWISE",
}  # fmt: skip
"""vLLM's ``CUDAGraphMode`` by the value that ``/server_info`` writes; a pair is (decode, other batches)."""
_GRAPH_MODE = re.compile(r"'cudagraph_mode': (?:<CUDAGraphMode\.([A-Z_]+)|'([A-Za-z_]+)')")
_PLATFORM = re.compile(r"Automatically detected platform (\w+)|Platform plugin (\w+) is activated")
_PLATFORMS = {"ascend": "npu"}
"""vLLM's name of a platform plugin -> the device's kind as ``/server_info`` has it."""

_VERSION = r"v?(\d+(?:\.\d+)+[\w.+-]*)"
_GAP = r"[ \t]{0,40}"
_MARK = rf"(?: version)?{_GAP}(?:==?|:| ){_GAP}"
_VERSIONS: Mapping[str, re.Pattern[str]] = {
    "vllm": re.compile(
        rf"(?:vllm api server version|llm engine \(|vllm version{_GAP}:?|^vllm==){_GAP}{_VERSION}",
        re.IGNORECASE,
    ),
    "vllm_ascend": re.compile(rf"vllm[-_ ]ascend{_MARK}{_VERSION}", re.IGNORECASE),
    "cann": re.compile(rf"\bcann{_MARK}{_VERSION}", re.IGNORECASE),
    "torch": re.compile(rf"(?:pytorch version{_GAP}:{_GAP}|\btorch==){_VERSION}", re.IGNORECASE),
    "torch_npu": re.compile(rf"\btorch[-_]npu{_MARK}{_VERSION}", re.IGNORECASE),
}
_TOOLKIT = re.compile(r"package_name=Ascend-cann-toolkit\b", re.IGNORECASE)
_TOOLKIT_VERSION = re.compile(rf"^version(?:_dir)?={_VERSION}", re.IGNORECASE)
_TOOLKIT_LINES = 6
"""CANN's own file tells package and version in lines of their own, this close together."""
_MENTIONS = (b"vllm", b"cann", b"torch", b"version", b"with config:", b"platform")
"""A line without any of these, in lower case, tells nothing; most lines of a long log are such."""
_LONGEST = 120
"""Characters of a fact that are kept: a server may tell anything."""
_SETTING = re.compile(rf"\b({'|'.join(_CONFIG)})=('[^']*'|[\w.]+)")
_ENGINE = ("with config:", "Initializing")
"""A log line with both tells the engine's configuration; other lines mention settings by the way."""


def facts_of_server_info(info: Json) -> tuple[KnownFact, ...]:
    """What ``/server_info?config_format=json`` tells; an answer of another form tells nothing."""
    if not isinstance(info, dict):
        return ()
    found: dict[str, Json] = {}
    config = info.get("vllm_config")
    parts = config.values() if isinstance(config, dict) else ()
    for part in parts:
        if isinstance(part, dict):
            found.update({name: part[name] for name in _CONFIG if name in part and name not in found})
    system = info.get("system_env")
    if isinstance(system, dict):
        lines = [
            f"{name.replace('torch_version', 'pytorch version')}: {text}" for name, text in system.items()
        ]
        lines += str(system.get("pip_packages") or "").splitlines()
        found.update(_versions(lines))
    found.update(_graphs_and_platform(config, system))
    return tuple(_fact(name, str(value), "/server_info") for name, value in found.items())


def _graphs_and_platform(config: Json, system: Json) -> dict[str, str]:
    """The graph mode by name, and "cuda", "npu", "cpu" or "rocm", which calls its device "cuda"."""
    told: dict[str, str] = {}
    mode = _within(config, "compilation_config", "cudagraph_mode")
    if isinstance(mode, str):
        told["cudagraph_mode"] = mode
    elif isinstance(mode, int | list):
        key = tuple(mode) if isinstance(mode, list) and all(isinstance(each, int) for each in mode) else mode
        if not isinstance(key, list) and key in _GRAPH_MODES:
            told["cudagraph_mode"] = _GRAPH_MODES[key]
    kind = _within(config, "device_config", "device_type") or _within(config, "device_config", "device")
    kind = kind.partition(":")[0] if isinstance(kind, str) else ""  # a torch.device may have an index
    if kind not in ("", "auto"):
        hip = str(_within(system, "hip_compiled_version") or "")
        told["platform"] = "rocm" if kind == "cuda" and hip[:1].isdigit() else kind
    return told


def _within(document: Json, *keys: str) -> Json:
    """What lies below these keys; None where a table or a key is missing."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def facts_of_log(path: Path, *, shown: str) -> tuple[KnownFact, ...]:
    """What a server's log tells of it, the last word counting: a server may have started anew.

    ``shown`` is how the file is named to people. Reads the whole file. Raises OSError when it cannot be read.
    """
    found: dict[str, KnownFact] = {}
    reader = _Reader()
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            small = raw.lower()
            if not any(mention in small for mention in _MENTIONS):
                continue
            line = raw.decode("utf-8", "replace")
            told = reader.versions(number, line)
            if all(mark in line for mark in _ENGINE):
                told.update({name: value.strip("'") for name, value in _SETTING.findall(line)})
                if mode := _GRAPH_MODE.search(line):
                    told["cudagraph_mode"] = mode[1] or mode[2]
            if platform := _PLATFORM.search(line):
                kind = platform[1] or platform[2]
                told["platform"] = _PLATFORMS.get(kind, kind)
            source = f"{shown}:{number}"
            found.update({name: _fact(name, value, source) for name, value in told.items()})
    return tuple(found.values())


def _fact(name: str, value: str, source: str) -> KnownFact:
    return KnownFact(name, condense(value, _LONGEST), source)


class _Reader:
    """Reads versions line by line; CANN's stands in a line of its own, below the name of its package."""

    def __init__(self) -> None:
        self._toolkit_until = 0

    def versions(self, number: int, line: str) -> dict[str, str]:
        found = {name: match[1] for name, pattern in _VERSIONS.items() if (match := pattern.search(line))}
        if _TOOLKIT.search(line):
            self._toolkit_until = number + _TOOLKIT_LINES
            line = line[line.lower().index("toolkit") :].partition(" ")[2]
        below = _TOOLKIT_VERSION.search(line.strip()) if number <= self._toolkit_until else None
        if below:
            found["cann"] = below[1]
        return found


def _versions(lines: Iterable[str]) -> dict[str, str]:
    reader, found = _Reader(), dict[str, str]()
    for number, line in enumerate(lines, start=1):
        found.update(reader.versions(number, line))
    return found
