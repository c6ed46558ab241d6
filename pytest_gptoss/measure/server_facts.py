"""Facts that a server does not tell over its API: read from ``/server_info`` and from its log.

vLLM serves ``/server_info`` with ``VLLM_SERVER_DEV_MODE=1``; its log tells the engine's configuration
once at start-up, in a line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_gptoss.records import Json, KnownFact

__all__ = ["facts_of_log", "facts_of_server_info"]

_CONFIG = (
    "dtype", "quantization", "enforce_eager", "tensor_parallel_size", "pipeline_parallel_size",
    "enable_expert_parallel",
)  # fmt: skip

_VERSION = r"v?(\d+(?:\.\d+)+[\w.+-]*)"
_VERSIONS: Mapping[str, re.Pattern[str]] = {
    "vllm": re.compile(
        rf"(?:vllm api server version|llm engine \(|vllm version:?|^vllm==) ?{_VERSION}", re.IGNORECASE
    ),
    "vllm_ascend": re.compile(rf"vllm[-_ ]ascend(?: version)?(?:==|[:=]| ) ?{_VERSION}", re.IGNORECASE),
    "cann": re.compile(
        rf"(?:\bcann(?: version)?[:= ]+|Ascend-cann-toolkit[ \t]+version=){_VERSION}", re.IGNORECASE
    ),
    "torch": re.compile(rf"(?:pytorch version: ?|\btorch==){_VERSION}", re.IGNORECASE),
    "torch_npu": re.compile(rf"torch_npu==?{_VERSION}", re.IGNORECASE),
}
_SETTING = re.compile(rf"\b({'|'.join(_CONFIG)})=('[^']*'|[\w.]+)")
_ENGINE = ("with config:", "Initializing")
"""A log line with both tells the engine's configuration; other lines mention settings by the way."""


def facts_of_server_info(info: Json) -> tuple[KnownFact, ...]:
    """What ``/server_info?config_format=json`` tells; an answer of another form tells nothing."""
    if not isinstance(info, dict):
        return ()
    found: dict[str, str] = {}
    config = info.get("vllm_config")
    parts = config.values() if isinstance(config, dict) else ()
    for part in parts:
        if isinstance(part, dict):
            found.update({name: str(part[name]) for name in _CONFIG if name in part and name not in found})
    system = info.get("system_env")
    if isinstance(system, dict):
        lines = [
            f"{name.replace('torch_version', 'pytorch version')}: {text}" for name, text in system.items()
        ]
        lines += str(system.get("pip_packages") or "").splitlines()
        found.update(_versions(lines))
    return tuple(KnownFact(name, value, "/server_info") for name, value in found.items())


def facts_of_log(path: Path, *, shown: str) -> tuple[KnownFact, ...]:
    """What a server's log tells of it, the last word counting: a server may have started anew.

    ``shown`` is how the file is named to people. Raises OSError when it cannot be read.
    """
    found: dict[str, KnownFact] = {}
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.decode("utf-8", "replace")
            told = _versions([line])
            if all(mark in line for mark in _ENGINE):
                told.update({name: value.strip("'") for name, value in _SETTING.findall(line)})
            source = f"{shown}:{number}"
            found.update({name: KnownFact(name, value, source) for name, value in told.items()})
    return tuple(found.values())


def _versions(lines: Iterator[str] | list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        for name, pattern in _VERSIONS.items():
            match = pattern.search(line)
            if match:
                found[name] = match[1]
    return found
