"""The command line of a server that a run starts: ``vllm serve MODEL --port {port}``."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.secret_values import masked_words, secret_values, secret_words, without

__all__ = ["HOST", "SERVE_ENV", "ServeCommand", "read_serve_command", "split_name"]

HOST = "127.0.0.1"
SERVE_ENV = "--gptoss-serve-env"
"""The option that sets a server's environment."""
_NAMED = re.compile(r"([A-Za-z0-9_.][A-Za-z0-9_.-]*)=(\S.*)", re.DOTALL)
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_RUNTIMES = ("docker", "podman", "nerdctl")
_WRAPPERS: Mapping[str, tuple[str, ...]] = {
    "env": ("-u", "--unset", "-C", "--chdir"),
    "sudo": ("-u", "--user", "-g", "--group"),
}
"""Programs that run another one, and their options that take a word."""
_DETACHED = re.compile(r"-[diPt]*d[diPt]*|--detach(=true)?")
"""Also as in ``docker run -itd``; other letters are options of the server."""


@dataclass(frozen=True)
class ServeCommand:
    """A command line whose words may hold ``{port}``, ``{host}`` and ``{log}``; run without a shell.

    ``environment`` is added to the environment of the run; ``directory`` is where it is run, None for where
    pytest is.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None

    def filled(self, *, port: int, log: Path) -> list[str]:
        """The words with their places filled; every other brace stays what it is."""
        values = {"{port}": str(port), "{host}": HOST, "{log}": str(log)}
        filled = list(self.words)
        for place, value in values.items():
            filled = [word.replace(place, value) for word in filled]
        return filled

    @property
    def logs_itself(self) -> bool:
        """Whether it is told where to write its log."""
        return any("{log}" in word for word in self.words)

    @property
    def shown(self) -> str:
        """The command as reports and messages show it: without secrets."""
        secrets = (*secret_values(self.environment), *secret_words(self.words))
        return without(shlex.join(masked_words(self.words)), secrets)

    @property
    def container(self) -> str | None:
        """The program that runs a container, where this is such a command."""
        words = _unwrapped(self.words)
        program = PurePath(words[0]).name if words else ""
        return program if program in _RUNTIMES and {"run", "up"} & set(words[1:]) else None

    @property
    def container_name(self) -> str | None:
        """What ``--name`` calls the container."""
        for word, after in zip(self.words, (*self.words[1:], ""), strict=True):
            if word == "--name" and after:
                return after
            if word.startswith("--name="):
                return word.partition("=")[2]
        return None

    @property
    def detached(self) -> bool:
        """Whether a container is told to run in the background."""
        return self.container is not None and any(map(_DETACHED.fullmatch, self.words))


def _unwrapped(words: Sequence[str]) -> list[str]:
    """The words from the program on that ``sudo`` or ``env`` runs."""
    rest = list(words)
    while rest and PurePath(rest[0]).name in _WRAPPERS:
        taking = _WRAPPERS[PurePath(rest.pop(0)).name]
        while rest and (rest[0].startswith("-") or _ASSIGNMENT.match(rest[0])):
            option = rest.pop(0)
            del rest[: option in taking]
    return rest


def read_serve_command(text: str) -> ServeCommand:
    """A command line, split as a shell splits words; raises UsageError that says what is wrong with it."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"the command line is not whole ({error}): quote each word as in a shell") from None
    if not words:
        raise UsageError("the command line is empty: write one as 'vllm serve MODEL --port {port}'")
    assigned = _ASSIGNMENT.match(words[0])
    if assigned is not None:
        raise _variable(assigned[1])
    if not any("{port}" in word for word in words):
        raise UsageError(
            "the command line has no {port}: the suite chooses the port, so write {port} where the server's "
            "port stands, as in --port {port}"
        )
    return ServeCommand(tuple(words))


def split_name(value: str, *, default: str) -> tuple[str, str]:
    """The device's name and the command line of ``[NAME=]COMMAND``.

    Raises UsageError where what looks like a name is an environment variable.
    """
    found = _NAMED.match(value)
    if found is None:
        return default, value
    if _looks_like_a_variable(found[1], found[2].split()):
        raise _variable(found[1])
    return found[1], found[2]


def _looks_like_a_variable(head: str, rest: Sequence[str]) -> bool:
    """Whether ``head=rest...`` assigns a variable before a command, as a shell would read it."""
    if shutil.which(rest[0]) is not None:
        return False
    return head.isupper() or (len(rest) > 1 and shutil.which(rest[1]) is not None)


def _variable(name: str) -> UsageError:
    return UsageError(
        f"the command line begins with {name}=...: no shell reads it, and what stands before = names a "
        f"device; give the variable with {SERVE_ENV} {name}=VALUE"
    )
