"""The types of option values: how each is read from text, and the rule it must keep, in words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gptoss.model.arrivals import MOST_CV, Law, read_law
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.subjects import LOGPROBS

if TYPE_CHECKING:
    from pytest_gptoss.model.ledger_target import LedgerTarget

__all__ = [
    "ABOVE_0",
    "ALL",
    "ARRIVALS",
    "CHECKPOINT",
    "CHECKPOINT_OR_FILE",
    "CLUSTER",
    "COMMAND",
    "DIRECTORY",
    "ENVIRONMENT",
    "FACT",
    "FILE",
    "HIDDEN_SOURCE",
    "LEDGER",
    "LEVELS",
    "MILLISECONDS",
    "OUTPUT_PATH",
    "RATES",
    "SECONDS",
    "SHARE",
    "SWITCH",
    "TEXT",
    "URL",
    "WAIVER",
    "OptionType",
    "choice",
    "whole_number",
    "whole_number_or_all",
]

ALL = "all"
"""The word for no limit, where an option takes a count."""

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_MOST_DIGITS = 18
"""More than any count needs, and fewer than Python refuses to convert."""


class _RuleBroken(Exception):
    """A value that its type does not take; with an argument, the rule in other words than the type's."""


@dataclass(frozen=True)
class OptionType:
    """``rule``: what a value must be, as a message says it; ``choices``: the words it takes, if few.

    ``parse`` makes the value of a text; relative paths are taken from the directory it is given.
    """

    rule: str
    parse: Callable[[str, Path], Any]
    choices: tuple[str, ...] = ()

    def read(self, value: str, origin: str, base: Path = Path()) -> Any:
        """The typed value; raises UsageError that names ``origin``, the value and the rule."""
        try:
            return self.parse(value, base)
        except _RuleBroken as broken:
            raise UsageError(
                f"{origin} is {value!r}: {broken.args[0] if broken.args else self.rule}"
            ) from None
        except UsageError as error:  # of a URL: it shows the value without a password
            raise UsageError(f"{origin}: {error}") from None


def choice(words: tuple[str, ...]) -> OptionType:
    """One of a few words."""

    def parse(value: str, base: Path) -> str:
        _require(value in words)
        return value

    return OptionType(f"it takes {' or '.join(words)}", parse, choices=words)


def whole_number(least: int, most: int | None = None) -> OptionType:
    """A whole number, ``least`` or more, and ``most`` or less where that is given."""

    def parse(value: str, base: Path) -> int:
        _require(value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS)
        _require(least <= int(value) and (most is None or int(value) <= most))
        return int(value)

    return OptionType(f"it takes a whole number from {least} {'on' if most is None else f'to {most}'}", parse)


def whole_number_or_all(least: int) -> OptionType:
    """A whole number, ``least`` or more, or the word ``all``."""
    number = whole_number(least)

    def parse(value: str, base: Path) -> int | str:
        return ALL if value == ALL else int(number.parse(value, base))

    return OptionType(f"{number.rule}, or the word {ALL}", parse)


def _require(kept: bool, rule: str | None = None) -> None:
    if not kept:
        raise _RuleBroken(*([] if rule is None else [rule]))


def _text(value: str, base: Path) -> str:
    return value


def _switch(value: str, base: Path) -> bool:
    _require(value.lower() in _TRUE | _FALSE)
    return value.lower() in _TRUE


def _above_0(value: str, base: Path) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    _require(math.isfinite(number) and number > 0)
    return number


def _share(value: str, base: Path) -> float:
    share = _above_0(value, base)
    _require(share <= 1)
    return share


def _rates(value: str, base: Path) -> tuple[float, ...]:
    """Rates of arrival, lowest first."""
    parts = [part.strip() for part in value.split(",")]
    _require(all(re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,6})?", part, re.ASCII) for part in parts))
    rates = [float(part) for part in parts]
    _require(min(rates) > 0)
    _require(len(set(rates)) == len(rates), "name each rate once")
    return tuple(sorted(rates))


def _arrivals(value: str, base: Path) -> tuple[Law, float]:
    """The law of the gaps between arrivals, and their coefficient of variation."""
    law = read_law(value)
    if law is None:
        raise _RuleBroken
    return law


def _levels(value: str, base: Path) -> tuple[int, ...]:
    """Load levels, lowest first."""
    parts = [part.strip() for part in value.split(",")]
    _require(all(part.isascii() and part.isdigit() and len(part) < 5 and int(part) > 0 for part in parts))
    levels = [int(part) for part in parts]
    _require(len(set(levels)) == len(levels), "name each level once")
    return tuple(sorted(levels))


def _url(value: str, base: Path) -> str:
    # Imported here: pytest runs that use no option of ours need not load URL parsing.
    from pytest_gptoss.model.urls import server_root

    server_root(value)
    return value


def _file(value: str, base: Path) -> Path:
    _require((base / value).is_file())
    return base / value


def _directory(value: str, base: Path) -> Path:
    _require((base / value).is_dir())
    return base / value


def _checkpoint(value: str, base: Path) -> Path:
    """A directory, or the name of the shipped tiny checkpoint."""
    return Path(value) if value == "tiny" else _directory(value, base)


def _output_path(value: str, base: Path) -> Path:
    """What the run writes; whether it can is seen when it does."""
    return base / value


def _checkpoint_or_file(value: str, base: Path) -> Path:
    """A checkpoint's directory or one of its files; the shipped tiny one by its name."""
    if value == "tiny":
        # Imported here: few runs name it.
        from pytest_gptoss.model.resources import fixture

        return fixture("tiny-gpt-oss")
    _require((base / value).exists())
    return base / value


def _hidden_source(value: str, base: Path) -> str | Path:
    """A pooling server's URL, a recorded file, or the word for states recovered from log-probabilities."""
    if value == LOGPROBS:
        return value
    return _url(value, base) if "://" in value else _file(value, base)


def _cluster(value: str, base: Path) -> str:
    """A Ray cluster: its address, or the word for the one that this machine is a node of."""
    _require(value == "auto" or re.fullmatch(r"[A-Za-z0-9_.-]+:[0-9]{1,5}", value) is not None)
    return value


def _ledger(value: str, base: Path) -> LedgerTarget:
    # Imported here: few runs name one.
    from pytest_gptoss.model.ledger_target import read_target

    return read_target(value, base)


def _waiver(value: str, base: Path) -> tuple[str, str]:
    """A threshold's id and the reason for not judging it."""
    threshold, mark, reason = (part.strip() for part in value.partition("="))
    _require(bool(mark and threshold and reason))
    return threshold, reason


def _command(value: str, base: Path) -> Any:
    """The command line of a server."""
    # Imported here: few runs start servers.
    from pytest_gptoss.model.serve_command import read_serve_command

    return read_serve_command(value)


def _environment(value: str, base: Path) -> tuple[str | None, str, str]:
    """A device's name or None, a variable and its value. A message shows no value: it may be a secret."""
    found = re.fullmatch(r"(?:([A-Za-z0-9_.-]+):)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", value, re.DOTALL)
    if found is None:
        raise UsageError("it takes [NAME:]VAR=VALUE, as HCCL_OP_EXPANSION_MODE=AIV or tp8:HCCL_BUFFSIZE=512")
    return found[1], found[2], found[3]


def _fact(value: str, base: Path) -> tuple[str, str]:
    """A stated fact: its key, ``DEVICE.FACT`` or ``FACT``, and its value."""
    key, mark, stated = (part.strip() for part in value.partition("="))
    well_named = re.fullmatch(r"(?:[A-Za-z0-9_.-]+\.)?[A-Za-z0-9_-]+", key) is not None
    _require(bool(mark and stated) and well_named)
    return key, stated


TEXT = OptionType("it takes any text", _text)
SWITCH = OptionType("a switch takes 1 or 0; leave it out for off", _switch)
SECONDS = OptionType("it takes a number of seconds above 0", _above_0)
MILLISECONDS = OptionType("it takes a number of milliseconds above 0", _above_0)
ABOVE_0 = OptionType("it takes a number above 0", _above_0)
SHARE = OptionType("it takes a share above 0 and up to 1, as 0.95", _share)
RATES = OptionType(
    "it takes requests a second, above 0 and below 100000, with commas between them, as in 0.5,8", _rates
)
ARRIVALS = OptionType(
    f"it takes poisson, constant or gamma:CV with a coefficient of variation from 0.01 to {MOST_CV:g}",
    _arrivals,
)
LEVELS = OptionType("it takes whole numbers from 1 to 9999 with commas between them, as in 1,4,8,16", _levels)
URL = OptionType("it takes a server root such as http://HOST:8000", _url)
FILE = OptionType("no such file", _file)
DIRECTORY = OptionType("no such directory", _directory)
CHECKPOINT = OptionType(DIRECTORY.rule, _checkpoint)
OUTPUT_PATH = OptionType("it takes a path", _output_path)
CHECKPOINT_OR_FILE = OptionType("no such file or directory", _checkpoint_or_file)
HIDDEN_SOURCE = OptionType(
    "not a URL, not a file that exists and not the word logprobs; record a file with: pytest-gptoss hidden "
    "--url URL --output FILE.npz",
    _hidden_source,
)
CLUSTER = OptionType(
    "it takes HOST:PORT, the address of the cluster's head, or the word auto on one of its nodes", _cluster
)
LEDGER = OptionType("it takes a SQLite file, or postgresql://USER@HOST/DATABASE", _ledger)
WAIVER = OptionType("it takes ID=REASON, and a waiver needs its reason", _waiver)
COMMAND = OptionType("it takes a server's command line with {port} in it", _command)
ENVIRONMENT = OptionType("it takes [NAME:]VAR=VALUE", _environment)
FACT = OptionType("it takes DEVICE.FACT=VALUE, as npu.cann=8.5.1, or FACT=VALUE for a fact of the run", _fact)
