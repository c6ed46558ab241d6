"""The option table: every option once, with its flag, environment variable and ini key.

A value is looked up on the command line, then in the environment, then in the ini file. The same
row serves pytest's parser, the error messages and the documentation, so they cannot disagree.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.gptoss import CONTEXT
from pytest_gptoss.model.paths import CHAT_PATH

if TYPE_CHECKING:
    import pytest

__all__ = ["OPTIONS", "Option", "OptionValues", "add_options", "read_options"]

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True)
class Option:
    """One option. ``repeats``: may be given more than once; in environment and ini, one a line."""

    flag: str
    help: str
    metavar: str | None = None
    repeats: bool = False
    switch: bool = False

    @property
    def key(self) -> str:
        """The bare name: ``npu_url``, ``profile``."""
        return self.flag.removeprefix("--").removeprefix("gptoss-").replace("-", "_")

    @property
    def dest(self) -> str:
        """Where pytest keeps the command line's value."""
        return f"gptoss_{self.key}"

    @property
    def env(self) -> str:
        """The environment variable: ``GPTOSS_NPU_URL``."""
        return f"GPTOSS_{self.key.upper()}"

    @property
    def ini(self) -> str:
        """The ini key: ``gptoss_npu_url``."""
        return self.env.lower()


OPTIONS: tuple[Option, ...] = (
    Option(
        "--npu-url",
        f"server under test: root, .../v1 or ...{CHAT_PATH}; several with NAME=URL",
        "[NAME=]URL",
        repeats=True,
    ),
    Option("--gpu-url", "baseline server", "URL"),
    Option("--cpu-url", "FP32 reference server", "URL"),
    Option("--npu-label", "what people call the device under test", "[NAME=]TEXT", repeats=True),
    Option("--gpu-label", "what people call the baseline", "TEXT"),
    Option("--cpu-label", "what people call the reference", "TEXT"),
    Option("--embedded", "start the embedded pair as npu and gpu, with profile 'embedded'", switch=True),
    Option("--gptoss-cpu-model", "start the CPU reference on this checkpoint as cpu", "DIR"),
    Option(
        "--gptoss-npu-model",
        "served model name on the NPU (default: the one it lists); of one of several with NAME=MODEL",
        "[NAME=]MODEL",
        repeats=True,
    ),
    Option("--gptoss-gpu-model", "served model name on the GPU", "NAME"),
    Option("--gptoss-cpu-model-name", "served model name on the CPU reference", "NAME"),
    Option("--gptoss-ca-bundle", "certificates to trust for https", "FILE"),
    Option(
        "--gptoss-trust-env",
        "use the environment's certificates and proxies (load connects directly)",
        switch=True,
    ),
    Option("--gptoss-timeout", "longest gap between two tokens, seconds (default 60)", "S"),
    Option("--gptoss-first-token-timeout", "longest wait for the first token, s (default: by length)", "S"),
    Option("--gptoss-ready-timeout", "longest wait for a server to start, seconds (default 600)", "S"),
    Option("--gptoss-profile", "threshold table: atlas-800-a2 (default) or embedded", "NAME"),
    Option("--gptoss-thresholds", "changes to the table", "FILE.toml"),
    Option("--gptoss-waive", "do not judge this threshold, and say why", "ID=REASON", repeats=True),
    Option("--gptoss-inputs", "chat (default) or token-ids: send the baseline's prompt ids", "KIND"),
    Option("--gptoss-prompts", "precision prompts: JSON list of strings or objects", "FILE"),
    Option(
        "--gptoss-hidden-npu",
        "where the NPU's hidden states come from: pooling server or recorded file",
        "[NAME=]URL|FILE",
        repeats=True,
    ),
    Option("--gptoss-hidden-gpu", "where the GPU's hidden states come from", "URL|FILE"),
    Option(
        "--gptoss-hidden-cpu",
        "where the CPU's hidden states come from (for measure(Hidden('cpu')): no threshold compares them)",
        "URL|FILE",
    ),
    Option("--gptoss-report", "directory of the reports (default gptoss-report)", "DIR"),
    Option("--gptoss-lang", "language of the Markdown and HTML reports: en (default) or zh", "LANG"),
    Option("--gptoss-record", "store the baseline's measurements for later runs", "FILE"),
    Option("--gptoss-baseline", "use a recorded baseline instead of a GPU server", "FILE"),
    Option("--gptoss-replay", "judge a finished run again, with no server", "DIR"),
    Option("--gptoss-needle", "the sentence to find in long texts (default: the guide's)", "TEXT"),
    Option("--gptoss-question", "the question about it", "TEXT"),
    Option("--gptoss-expect", "the expected answer (default: the needle's last number)", "TEXT"),
    Option("--gptoss-needle-grid", "document (default, five cells) or full: every depth", "KIND"),
    Option("--gptoss-needle-trials", "trials of each cell, each a new text and code (default 1)", "N"),
    Option("--gptoss-seed", "seed of haystacks and codes (default 0)", "N"),
    Option("--gptoss-max-context-len", f"longest context to test, tokens (default {CONTEXT})", "N"),
    Option("--gptoss-concurrency", "load levels: requests in flight (default 1,4,8,16)", "LIST"),
    Option("--gptoss-num-requests", "requests of every load level (default: by level)", "N"),
    Option("--gptoss-max-tokens", "output tokens of every request under load (default: by level)", "N"),
    Option("--gptoss-prompt-len", "prompt tokens of every request under load (default 1024)", "N"),
    Option("--gptoss-bench-endpoint", "chat (default) or completions: where load is sent", "KIND"),
    Option("--gptoss-trials", "repetitions of all load levels (default 1)", "N"),
    Option("--gptoss-load-gpu", "put the GPU under load too, in turn with the NPU", switch=True),
    Option("--gptoss-no-calibration", "do not calibrate the instrument before load", switch=True),
    Option("--gptoss-npu-log", "log of the NPU's server, to diagnose from", "[NAME=]FILE", repeats=True),
    Option("--gptoss-gpu-log", "log of the GPU's server, to diagnose from", "FILE"),
    Option(
        "--gptoss-info",
        "a fact nobody can measure: DEVICE.FACT=VALUE (npu.cann=8.5.1), or FACT=VALUE of the run",
        "KEY=VALUE",
        repeats=True,
    ),
    Option("--gptoss-signatures", "log signatures and symptoms of your own", "FILE.toml", repeats=True),
)


@dataclass(frozen=True)
class OptionValues:
    """What the user said, by option key, and where: the flag, the variable or the ini key."""

    values: Mapping[str, tuple[str, ...]]
    origins: Mapping[str, str]

    def one(self, key: str) -> str | None:
        """The value of an option that does not repeat, or None."""
        values = self.values.get(key)
        return values[0] if values else None

    def many(self, key: str) -> tuple[str, ...]:
        """All values of an option that repeats."""
        return self.values.get(key, ())

    def on(self, key: str) -> bool:
        """Whether a switch is on; a word that is neither yes nor no is a UsageError."""
        value = self.one(key)
        if value is None:
            return False
        if value.lower() in _TRUE | _FALSE:
            return value.lower() in _TRUE
        raise UsageError(f"{self.origin(key)} is {value!r}: a switch takes 1 or 0; leave it out for off")

    def origin(self, key: str) -> str:
        """Name of the place a value came from, for messages."""
        return self.origins.get(key, f"option {key}")


def add_options(parser: pytest.Parser) -> None:
    """Register every option and its ini key with pytest."""
    group = parser.getgroup("gptoss", "GPT-OSS acceptance")
    for option in OPTIONS:
        if option.switch:
            group.addoption(
                option.flag, dest=option.dest, action="store_const", const="1", default=None, help=option.help
            )
        else:
            group.addoption(
                option.flag,
                dest=option.dest,
                action="append" if option.repeats else "store",
                default=None,
                metavar=option.metavar,
                help=option.help,
            )
        parser.addini(option.ini, f"{option.help}; same as {option.flag}", default=None)


def read_options(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> OptionValues:
    """Collect what the user gave: command line over environment over ini.

    Raises UsageError for an empty value.
    """
    values: dict[str, tuple[str, ...]] = {}
    origins: dict[str, str] = {}
    for option in OPTIONS:
        found = _look_up(option, config, environ)
        if found is None:
            continue
        given, origin = found
        if not given or any(not value.strip() for value in given):
            raise UsageError(
                f"{origin} is empty: it needs a value ({option.metavar or '1 or 0'}). "
                "Is a variable unset in the script that calls pytest?"
            )
        values[option.key] = tuple(value.strip() for value in given)
        origins[option.key] = origin
    return OptionValues(values, origins)


def _look_up(
    option: Option, config: pytest.Config, environ: Mapping[str, str]
) -> tuple[tuple[str, ...], str] | None:
    given = config.getoption(option.dest)
    if given is not None:
        return (tuple(given) if option.repeats else (str(given),)), option.flag
    for raw, origin in ((environ.get(option.env), option.env), (config.getini(option.ini), option.ini)):
        if raw is None:
            continue
        lines = tuple(line for line in raw.splitlines() if line.strip()) if option.repeats else (raw,)
        return lines, origin
    return None
