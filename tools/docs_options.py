"""The page of all options: pytest's from the option table, those of the commands from their parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import get_args

from pytest_gptoss.cli import main as command_line
from pytest_gptoss.config.option import OnReplay, Option
from pytest_gptoss.config.options import GROUPS
from pytest_gptoss.model.key_variables import key_variable
from pytest_gptoss.model.subjects import Role

__all__ = ["options_page"]

_TITLES: Mapping[str, str] = {
    "devices": "Devices",
    "serve": "Managed servers",
    "fleet": "Fleet",
    "connection": "Connection",
    "judging": "Judging",
    "inputs": "Inputs",
    "hidden": "Hidden states",
    "report": "Reports",
    "stored": "Stored runs",
    "needle": "Long context",
    "load": "Performance",
    "diagnosis": "Diagnosis",
}

_INTRO = """# Options

<!-- Made by `python tools/docs_pages.py` from the option table. Do not edit this page. -->

`pytest --help` lists the options of pytest under "GPT-OSS acceptance". Each has an environment variable
and an ini key. The command line comes before the environment, the environment before the ini file. An
option that repeats takes one value a line in environment and ini file. `[NAME=]` is the name of one of
several devices under test.

API keys come from the environment alone: KEYS.
Each is sent to its own device only.

Select tests as always with pytest: `-m "precision and contract"`, `-k rouge`, `-x`, `-n 2`
(pytest-xdist). Only what the selected tests need is measured. Do not combine with pytest-rerunfailures:
it would assert the same measurement again.
"""


def options_page() -> str:
    """The page, ending in a line break."""
    keys = ", ".join(f"`{key_variable(role)}`" for role in get_args(Role))
    lines = [_INTRO.replace("KEYS", keys)]
    for group, options in GROUPS.items():
        lines += [f"## {_TITLES.get(group, group.capitalize())}", ""]
        for option in options:
            lines += [*_option(option), ""]
    lines += ["## Commands", "", "Commands that pass options on take those of pytest too.", ""]
    for name, parser in _parsers():
        lines += [*_command(name, parser), ""]
    return "\n".join(lines).rstrip() + "\n"


def _option(option: Option) -> Iterator[str]:
    value = f" {option.metavar}" if option.metavar else ""
    yield from (
        f"### `{option.flag}{value}`",
        "",
        f"{_escaped(option.help[0].upper() + option.help[1:])}.",
        "",
    )
    yield f"- Environment `{option.env}`, ini key `{option.ini}`."
    if option.repeats:
        yield "- May be given more than once."
    if option.needs:
        only = f" (for `{option.needs.value}`)" if option.needs.value else ""
        yield f"- Needs a device in the role {option.needs.role}{only}."
    if option.excludes:
        others = ", ".join(f"`{_flag(key)}`" for key in option.excludes.keys)
        yield f"- Not with {others}: {option.excludes.why}."
    if option.replay is not OnReplay.FREE:
        yield f"- In a replay: {option.replay.value}."


def _flag(key: str) -> str:
    return next(option.flag for options in GROUPS.values() for option in options if option.key == key)


def _parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in command_line.command_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from (f"### `pytest-gptoss {name}`", "")
    if parser.description:
        yield from (_escaped(parser.description), "")
    yield from ("| argument | what it says |", "|---|---|")
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            yield f"| `{_said(action)}` | {_escaped(action.help or '')} |"


def _said(action: argparse.Action) -> str:
    choices = ",".join(map(str, action.choices)) if action.choices else None
    value = action.metavar or (f"{{{choices}}}" if choices else action.dest.upper())
    flag = ", ".join(action.option_strings)
    return str(value) if not flag else flag if action.nargs == 0 else f"{flag} {value}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
