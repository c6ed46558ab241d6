"""Settings of a serve line as changes to it: one that is there is taken out, one that is not is put in."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from pytest_gptoss.isolate.search import EAGER
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.secret_values import masked_words
from pytest_gptoss.model.serve_command import ServeCommand

__all__ = ["KNOWN_FLAGS", "KNOWN_VARIABLES", "Change", "changed", "changes_of", "known_changes"]

KNOWN_FLAGS = (
    EAGER,
    "--max-num-seqs 8",
    "--max-model-len 8192",
    "--no-enable-prefix-caching",
    "--no-enable-chunked-prefill",
    "--tensor-parallel-size 1",
    "--pipeline-parallel-size 1",
    """--compilation-config '{"cudagraph_mode":"PIECEWISE"}'""",
)
"""What the guide and we try on vLLM, beside what the user names."""
_IF_STANDING = ("--tensor-parallel-size", "--pipeline-parallel-size")
"""Flags whose known value is what a line without them has anyway."""
_LONG_FLAG = re.compile(r"--[A-Za-z][\w-]*")
KNOWN_VARIABLES = ("HCCL_OP_EXPANSION_MODE=AIV",)


@dataclass(frozen=True)
class Change:
    """A change to a serve line: ``words`` or a ``variable`` (name, value), put in or taken out.

    ``replaced`` are the words that stand there instead of the ones put in: the same flag with another value.
    """

    name: str
    put_in: bool
    words: tuple[str, ...] = ()
    variable: tuple[str, str] | None = None
    replaced: tuple[str, ...] = ()


def changes_of(command: ServeCommand, flags: Iterable[str], variables: Iterable[str]) -> tuple[Change, ...]:
    """The changes that settings stand for, each setting once; raises UsageError for what is none."""
    found: dict[str, Change] = {}
    for flag in flags:
        change = _of_flag(command, flag)
        found.setdefault(change.name, change)
    for variable in variables:
        change = _of_variable(command, variable)
        found.setdefault(change.name, change)
    return tuple(found.values())


def changed(command: ServeCommand, changes: Iterable[Change]) -> ServeCommand:
    """The serve line with changes made to it."""
    words, environment = _apart(command.words), dict(command.environment)
    for each in changes:
        if each.variable is not None:
            environment.pop(each.variable[0], None)
            if each.put_in:
                environment[each.variable[0]] = each.variable[1]
            else:  # the run's own environment may have it too
                words = ["env", "-u", each.variable[0], *words]
            continue
        at = _place(words, each.replaced or each.words)
        gone = len(each.replaced or each.words) if at is not None else 0
        place = len(words) if at is None else at
        words[place : place + gone] = each.words if each.put_in else ()
    return dataclasses.replace(command, words=tuple(words), environment=environment)


def _of_flag(command: ServeCommand, text: str) -> Change:
    try:
        words = tuple(_apart(shlex.split(text)))
    except ValueError as error:
        raise UsageError(f"--flag {text!r} is not whole ({error}): quote it as in a shell") from None
    if not words or not words[0].startswith("-"):
        raise UsageError(f"--flag {text!r}: it takes a flag of the server with its value, '--max-num-seqs 8'")
    name = shlex.join(masked_words(words))
    line = _apart(command.words)
    if _place(line, words) is not None:
        return Change(name, put_in=False, words=words)
    return Change(name, put_in=True, words=words, replaced=_standing(line, words[0]))


def _apart(words: Sequence[str]) -> list[str]:
    """The words with ``--flag=value`` as two, which mean the same to the server."""
    found: list[str] = []
    for word in words:
        flag, sign, value = word.partition("=")
        found += (flag, value) if sign and _LONG_FLAG.fullmatch(flag) else (word,)
    return found


def _standing(words: Sequence[str], flag: str) -> tuple[str, ...]:
    """The flag as it stands in the line, with its value; empty where it does not."""
    if flag not in words:
        return ()
    at = words.index(flag)
    value = words[at + 1 : at + 2]
    return (flag, *(value if value and not value[0].startswith("-") else ()))


def _place(words: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Where the words stand in the line, one behind the other."""
    size = len(wanted)
    places = range(len(words) - size + 1) if size else ()
    return next((at for at in places if tuple(words[at : at + size]) == tuple(wanted)), None)


def _of_variable(command: ServeCommand, text: str) -> Change:
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise UsageError("--env: it takes VAR=VALUE, as HCCL_OP_EXPANSION_MODE=AIV")
    standing = command.environment.get(name, os.environ.get(name))
    (shown,) = masked_words([text])
    return Change(shown, put_in=standing != value, variable=(name, value))


def known_changes(command: ServeCommand) -> tuple[Change, ...]:
    """The known settings of vLLM that mean something for this line; none for another program."""
    if not any("vllm" in PurePath(word).name for word in command.words[:6]):
        return ()
    flags = [
        each
        for each in KNOWN_FLAGS
        if each.split()[0] not in _IF_STANDING or each.split()[0] in _apart(command.words)
    ]
    # What is set for the program that runs a container does not reach the server in it.
    found = changes_of(command, flags, () if command.container else KNOWN_VARIABLES)
    return tuple(each for each in found if each.put_in)  # what is set so already is no suspect
