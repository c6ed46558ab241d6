"""Servers that the run starts by the user's own command lines, one at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from pytest_gptoss.config.option_values import CheckedOptions
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.serve_command import ServeCommand, split_name

__all__ = ["Served", "for_older_vllm", "kept_log", "pooling_variant", "served_from"]

Served: TypeAlias = Mapping[str, ServeCommand]
"""The command of each device that the run starts, by the device's name."""

_CHAT_FLAGS: Mapping[str, int] = {
    "--enable-auto-tool-choice": 0,
    "--tool-call-parser": 1,
    "--reasoning-parser": 1,
    "--tool-server": 1,
    "--max-logprobs": 1,
}
"""Flags of generation that a pooling server does not take, and how many words follow each."""
_POOLER = '{"task":"token_embed","use_activation":false}'
_OLDER_POOLER = '{"use_activation":false}'
"""vLLM 0.18 does not start with the key ``task``: it takes the task of each request."""
_POOLING_FLAGS = ("--runner", "pooling", "--convert", "embed", "--pooler-config")


def served_from(options: CheckedOptions) -> Served:
    """Every command with its environment and directory; raises UsageError."""
    commands = _npu_commands(options)
    baseline = options.value("gpu_serve")
    if baseline is not None:
        commands["gpu"] = baseline
    variables = _variables(options, commands)
    directory = options.value("serve_dir")
    return {
        name: dataclasses.replace(command, environment=variables[name], directory=directory)
        for name, command in commands.items()
    }


def _npu_commands(options: CheckedOptions) -> dict[str, ServeCommand]:
    commands: dict[str, ServeCommand] = {}
    for value in options.value("npu_serve"):
        try:
            name, text = split_name(value, default="npu")
        except UsageError as error:
            raise UsageError(f"{options.origin('npu_serve')}: {error}") from None
        if name in commands:
            raise UsageError(
                f"{options.origin('npu_serve')}: the name {name!r} is given twice; name each configuration, "
                "as in --npu-serve 'eager=vllm serve ...' --npu-serve 'graph=vllm serve ...'"
            )
        if name == "gpu":
            raise UsageError(f"{options.origin('npu_serve')}: 'gpu' is the baseline: use --gpu-serve for it")
        commands[name] = options.read("npu_serve", text)
    return commands


def _variables(options: CheckedOptions, commands: Served) -> dict[str, dict[str, str]]:
    """The environment of each device's server; a variable without a device's name is every server's."""
    of_all: dict[str, str] = {}
    found: dict[str, dict[str, str]] = {name: {} for name in commands}
    for name, variable, value in options.value("serve_env"):
        if name is not None and name not in commands:
            known = ", ".join(commands) or "none"
            raise UsageError(
                f"{options.origin('serve_env')}: {name}:{variable}=... names no server that this run starts; "
                f"there are: {known}"
            )
        (of_all if name is None else found[name])[variable] = value
    return {name: {**of_all, **own} for name, own in found.items()}


def kept_log(options: CheckedOptions, name: str) -> Path:
    """Where the log of a device's server is kept."""
    report: Path = options.base / options.value("report")
    return report / "servers" / f"{name}.log"


def pooling_variant(command: ServeCommand) -> ServeCommand:
    """The same server with hidden states on ``/pooling`` instead of generating."""
    words: list[str] = []
    skip = 0
    for word in command.words:
        flag, equals, _ = word.partition("=")
        if skip:
            skip -= 1
        elif flag in _CHAT_FLAGS:
            skip = 0 if equals else _CHAT_FLAGS[flag]
        else:
            words.append(word)
    chosen = {word.partition("=")[0] for word in words}
    if not chosen & {"--runner", "--task"}:  # a runner that the user chose stays
        words += (*_POOLING_FLAGS, _POOLER)
    return dataclasses.replace(command, words=tuple(words))


def for_older_vllm(command: ServeCommand) -> ServeCommand:
    """The pooling variant as vLLM 0.18 and older take it."""
    words = tuple(_OLDER_POOLER if word == _POOLER else word for word in command.words)
    return dataclasses.replace(command, words=words)
