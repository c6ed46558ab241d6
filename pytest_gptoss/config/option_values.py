"""The values of the options: registered with pytest, looked up, read by the table, checked by its rules.

A value is looked up on the command line, then in the environment, then in the ini file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gptoss.config.option import Option
from pytest_gptoss.config.options import OPTION, OPTIONS
from pytest_gptoss.model.errors import UsageError

if TYPE_CHECKING:
    import pytest

__all__ = ["CheckedOptions", "OptionTexts", "add_options", "check_options", "read_options"]


@dataclass(frozen=True)
class OptionTexts:
    """What the user gave, as text by option key, and where: the flag, the variable or the ini key."""

    texts: Mapping[str, tuple[str, ...]]
    origins: Mapping[str, str]


@dataclass(frozen=True)
class CheckedOptions:
    """The typed values of the options that were given; ``base`` is where relative paths begin."""

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    base: Path

    def value(self, key: str) -> Any:
        """The value of an option, or its default; of an option that repeats a tuple of them."""
        option = OPTION[key]
        return self.values.get(key, () if option.repeats else option.default)

    def given(self, key: str) -> bool:
        """Whether the user gave the option; a switch that is turned off is not given."""
        return self.values.get(key) not in (None, False)

    def origin(self, key: str) -> str:
        """Name of the place a value came from, for messages."""
        return self.origins.get(key, f"option {key}")

    def read(self, key: str, text: str) -> Any:
        """The typed value of one device's part of a ``[NAME=]VALUE``; raises UsageError."""
        return OPTION[key].type.read(text, self.origin(key), self.base)


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


def read_options(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> OptionTexts:
    """Collect what the user gave: command line over environment over ini.

    Raises UsageError for an empty value.
    """
    texts: dict[str, tuple[str, ...]] = {}
    origins: dict[str, str] = {}
    for option in OPTIONS:
        found = _look_up(option, config, environ)
        if found is None:
            continue
        given, origin = found
        if not given or any(not text.strip() for text in given):
            raise UsageError(
                f"{origin} is empty: it needs a value ({option.metavar or '1 or 0'}). "
                "Is a variable unset in the script that calls pytest?"
            )
        texts[option.key] = tuple(text.strip() for text in given)
        origins[option.key] = origin
    return OptionTexts(texts, origins)


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


def check_options(options: OptionTexts, *, base: Path) -> CheckedOptions:
    """Read every value by its type and check the options against each other.

    Raises UsageError naming the option, the value and the rule. What needs a device is checked when the
    devices are known (``refuse_unmet_needs``).
    """
    values = {
        option.key: option.read(options.texts[option.key], options.origins[option.key], base)
        for option in OPTIONS
        if option.key in options.texts
    }
    checked = CheckedOptions(values, options.origins, base)
    _refuse_exclusions(checked)
    _refuse_on_replay(checked)
    return checked


def _refuse_exclusions(options: CheckedOptions) -> None:
    for option in OPTIONS:
        excludes = option.excludes
        if excludes is None or not options.given(option.key):
            continue
        for key in excludes.keys:
            if options.given(key):
                _refuse_pair(options, option.key, key, excludes.why)


def _refuse_on_replay(options: CheckedOptions) -> None:
    if not options.given("replay"):
        return
    for option in OPTIONS:
        if option.replay.refusal is not None and options.given(option.key):
            _refuse_pair(options, "replay", option.key, option.replay.refusal)


def _refuse_pair(options: CheckedOptions, one: str, other: str, why: str) -> None:
    raise UsageError(f"{options.origin(one)} and {options.origin(other)} exclude each other: {why}")
