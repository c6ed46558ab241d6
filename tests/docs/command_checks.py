"""What is wrong with a command of the documentation, as far as that shows without a device.

``pytest`` commands are collected by the real plugin. ``pytest-gptoss`` commands are read by its real parser,
and run where they need no server. Of the project's other programs what is named must exist.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence

from command_blocks import ROOT, Block

from pytest_gptoss.cli.main import _COMMANDS, command_parser
from pytest_gptoss.config.option import Option
from pytest_gptoss.config.option_types import (
    CHECKPOINT,
    CHECKPOINT_OR_FILE,
    DIRECTORY,
    FILE,
    HIDDEN_SOURCE,
    URL,
)
from pytest_gptoss.config.options import OPTIONS
from pytest_gptoss.model.key_variables import key_variable
from pytest_gptoss.model.subjects import LOGPROBS

NOWHERE = "http://127.0.0.1:9"
STAND_INS: Mapping[str, str] = {
    "baseline": "baseline.zip",
    "prompts": "prompts.json",
    "thresholds": "thresholds.toml",
    "signatures": "signatures.toml",
    "replay": "finished",
    "cpu_model": "tiny",
    "lm_head": "tiny",
    "trace": "trace.csv",
}
"""What takes the place of a file that the reader has, by the option's key."""
EMPTY = tuple(
    f"{option.key}.file"
    for option in OPTIONS
    if option.type in (FILE, HIDDEN_SOURCE) and option.key not in STAND_INS
)
"""Of all other options: files with nothing in them."""

NEEDS = frozenset({"devices", "vllm", "network", "root"})
"""What a block may need that a test has not got."""

HARMLESS = frozenset(
    {"export", "cd", "mkdir", "echo", "tee", "cat", "ls", ".", "source", "deactivate", "open"}
)
"""Words of the shell that have nothing to be checked."""
_FLAG = {option.flag: option for option in OPTIONS}
_ELLIPSIS = "..."


class Fault(Exception):
    """What is wrong with a command, in words."""


class Unchecked(Fault):
    """A command that no test can check: its block must be marked."""


def check(words: Sequence[str]) -> tuple[str, ...] | None:
    """Raise Fault for what is wrong; return the arguments that pytest must accept, None where none."""
    program, rest = words[0].removeprefix(".venv/bin/"), list(words[1:])
    if program in HARMLESS:
        return None
    handler = _HANDLERS.get(program)
    if handler is None:
        raise Unchecked(f"nothing checks {program!r}")
    return handler(rest)


def refuse_bad_mark(block: Block) -> None:
    """Raise Fault for a mark that names nothing."""
    if block.mark is None:
        return
    kind, what = block.mark
    if kind == "needs":
        unknown = {each.strip() for each in what.split(",")} - NEEDS
        if unknown:
            raise Fault(f"needs: {', '.join(sorted(unknown))}: it takes {', '.join(sorted(NEEDS))}")
        return
    place, _, test = what.partition("::")
    place, _, stage = place.partition(" ")
    path = ROOT / place
    if not path.is_file():
        raise Fault(f"run by: {place}: there is no such file")
    text = path.read_text("utf-8")
    if test and not re.search(rf"^(?:async )?def {re.escape(test)}\(", text, re.MULTILINE):
        raise Fault(f"run by: {place} has no {test}")
    if stage.strip(' "') not in text:
        raise Fault(f"run by: {place} has no stage {stage}")
    if not test and not stage:
        raise Fault(f"run by: {place}: name the test (FILE::test_x) or the stage (.ci/run STAGE)")


def substituted(arguments: Sequence[str]) -> tuple[str, ...]:
    """Arguments of pytest with stand-ins for files, and without what names tests or processes."""
    words = iter(arguments)
    found = tuple(each for word in words for each in _substituted(word, words))
    recorded = any(each.startswith("--gptoss-baseline=") for each in found)
    return (*found, "--gptoss-profile=embedded") if recorded else found  # the stand-in is of this profile


def _substituted(word: str, rest: Iterator[str]) -> list[str]:
    flag, equals, value = word.partition("=")
    if flag == "-n" or flag == "--dist":
        next(rest)
        return []
    if word == "--pyargs" or word == "pytest_gptoss.acceptance" or _is_test(word):
        return []
    option = _FLAG.get(flag)
    if option is None or option.switch:
        return [word]
    if not equals:
        value = next(rest, None)
        if value is None:
            raise Fault(f"{flag} has no value")
    return [f"{flag}={_stand_in(option, value)}"]


def _is_test(word: str) -> bool:
    if not word.startswith(("tests/", "tests")) or "=" in word:
        return False
    if not (ROOT / word.partition("::")[0]).exists():
        raise Fault(f"{word}: there is no such file")
    return True


def _stand_in(option: Option, value: str) -> str:
    """A value with a stand-in for an address or a file; the device's name before it stays."""
    name, equals, rest = value.partition("=")
    head = f"{name}=" if option.by_name and equals and re.fullmatch(r"[\w.-]+", name) else ""
    text = rest if head else value
    if option.type is URL or (option.type is HIDDEN_SOURCE and "://" in text):
        return head + (NOWHERE if text == _ELLIPSIS or text == "URL" else text)
    if text == LOGPROBS:
        return value
    if option.type in (FILE, DIRECTORY, CHECKPOINT, CHECKPOINT_OR_FILE, HIDDEN_SOURCE):
        return head + STAND_INS.get(option.key, f"{option.key}.file")
    return value


def _pytest(rest: list[str]) -> tuple[str, ...]:
    return substituted(rest)


def _gptoss(rest: list[str]) -> tuple[str, ...] | None:
    name = next((word for word in rest if not word.startswith("-")), "")
    if name not in _COMMANDS and rest not in (["--version"], ["--help"]):
        raise Fault(f"pytest-gptoss has no command {name!r}")
    try:
        _, unknown = command_parser().parse_known_args(rest)
    except SystemExit as ended:
        if ended.code:
            raise Fault(f"pytest-gptoss {shlex.join(rest)}: not what its parser takes") from None
        return None
    if unknown and not _COMMANDS[name].passes_on:
        raise Fault(f"pytest-gptoss {name} has no option {unknown[0]}")
    return (*substituted(unknown), f"--npu-url={NOWHERE}", "-p", "no:cacheprovider") if unknown else None


def _python(rest: list[str]) -> tuple[str, ...] | None:
    if rest[:1] == ["-m"]:
        module, more = rest[1], rest[2:]
        if module == "pytest":
            return _pytest(more)
        if module in ("venv", "build"):
            return None
        if module == "pip":
            return _pip(more)
        if module.startswith("pytest_gptoss"):
            return _script(f"{module.replace('.', '/')}/__main__.py", more)
        raise Unchecked(f"nothing checks python -m {module}")
    if rest[:1] == ["-c"] or not rest:
        raise Unchecked("nothing checks python without a file")
    return _script(rest[0], rest[1:])


def _script(name: str, rest: list[str]) -> None:
    path = ROOT / name
    if not path.is_file():
        raise Fault(f"{name}: there is no such file")
    text = path.read_text("utf-8")
    for flag in (word.partition("=")[0] for word in rest if word.startswith("--")):
        if f'"{flag}"' not in text:
            raise Fault(f"{name} has no option {flag}")


def _pip(rest: list[str]) -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    for extras in re.findall(r"(?:pytest-gptoss|\.)\[([\w,-]+)\]", " ".join(rest)):
        for extra in extras.split(","):
            if not re.search(rf"^{extra} = \[", project, re.MULTILINE):
                raise Fault(f"pyproject.toml has no extra {extra}")


def _make(rest: list[str]) -> None:
    path = ROOT / "Makefile"
    if not path.is_file():
        raise Fault("there is no Makefile")
    for target in (word for word in rest if not word.startswith("-") and "=" not in word):
        if not re.search(rf"^{re.escape(target)}:", path.read_text("utf-8"), re.MULTILINE):
            raise Fault(f"Makefile has no {target}")


def _nox(rest: list[str]) -> None:
    text = (ROOT / "noxfile.py").read_text("utf-8")
    for session in (word for word in rest if not word.startswith("-")):
        named = re.search(rf'name="{re.escape(session)}"|^def {re.escape(session)}\(', text, re.MULTILINE)
        if named is None and f'"{session}"' not in text:
            raise Fault(f"noxfile.py has no session {session}")


def _nothing(_: list[str]) -> None:
    """A program that the gate runs as the page does."""


_HANDLERS: Mapping[str, Callable[[list[str]], tuple[str, ...] | None]] = {
    "pytest": _pytest,
    "pytest-gptoss": _gptoss,
    "python": _python,
    "python3": _python,
    "pip": _pip,
    "make": _make,
    "nox": _nox,
    "ruff": _nothing,
    "mypy": _nothing,
    ".ci/run": _nothing,
}


def bad_variables(block: Block) -> list[str]:
    """Variables of ours that a block sets and nothing reads."""
    known = (
        {option.env for option in OPTIONS}
        | {key_variable(role) for role in ("npu", "gpu", "cpu")}
        | {"GPTOSS_TEST_SLOW"}
    )
    return sorted(name for name in block.variables() if name.startswith("GPTOSS_") and name not in known)
