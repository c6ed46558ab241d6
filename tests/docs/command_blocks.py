"""Command blocks of README and documentation: found, classified, split into commands."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]

SHELL = frozenset({"bash", "sh", "shell", "console"})
OTHER = frozenset(
    {"python", "py", "toml", "json", "yaml", "groovy", "ini", "text", "html", "xml", "nginx", "make", "http"}
)
"""Languages of blocks that hold no command. Whole CI files have a test of their own."""

_FENCE = re.compile(r"^( *)```+ *([\w-]*).*\n((?:.*\n)*?)\1```+ *$", re.MULTILINE)
_MARK = re.compile(r"<!-- (needs|run by): (.+?) -->$")
_LIST = re.compile(r" *(?:[-*+] |\d+[.)] |::: |!!! |\?\?\? )")
_COMMAND = re.compile(
    r"(?:\$ )?(?:[A-Z_]+=\S* )*(?:\.venv/bin/)?"
    r"(?:pytest|pytest-gptoss|vllm|pip|python3?|make|nox|ruff|git|export|\.)(?: |$)"
)
_ASSIGNMENT = re.compile(r"[A-Z_][A-Z0-9_]*=.*")
_SEPARATORS = frozenset({"&&", "||", "|", ";", "&"})
_REDIRECTIONS = frozenset({">", ">>", "<", ">&", "&>"})


@dataclass(frozen=True)
class Block:
    """One block of a page; ``mark`` is (kind, what) of the comment before it, None where there is none."""

    page: str
    line: int
    language: str
    text: str
    mark: tuple[str, str] | None

    @property
    def place(self) -> str:
        """For messages: ``README.md:12``."""
        return f"{self.page}:{self.line}"

    @property
    def kind(self) -> str | None:
        """ "commands", "other", or None of a block that is neither by its language nor by what it holds."""
        if self.language in SHELL:
            return "commands"
        first = next((line.strip() for line in self.text.splitlines() if line.strip(" #")), "")
        if not self.language:
            return "commands" if _COMMAND.match(first) else "other" if _is_toml(self.text) else None
        if self.language not in OTHER:
            return None
        hidden = self.language in ("text", "ini", "http") and _COMMAND.match(first)
        return None if hidden else "other"

    def commands(self) -> Iterator[tuple[str, ...]]:
        """Each command's words, without assignments and redirections. Raises ValueError for a bad quote."""
        for line in self.text.replace("\\\n", " ").splitlines():
            words: list[str] = []
            for word in [*_words(line.strip().removeprefix("$ ")), ";"]:
                if word not in _SEPARATORS:
                    words.append(word)
                elif words:
                    yield from _without_assignments(words)
                    words = []

    def variables(self) -> set[str]:
        """Environment variables that the block sets."""
        return set(re.findall(r"^(?:export )?(?:.* )?([A-Z][A-Z0-9_]+)=", self.text, re.MULTILINE))


def pages() -> list[Path]:
    """Every page whose commands people type."""
    named = [ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")]
    return [*(path for path in named if path.is_file()), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text: str, page: str) -> list[Block]:
    """The fenced and the indented blocks of a page, in order."""
    found = [_fenced(each, text, page) for each in _FENCE.finditer(text)]
    blank = _FENCE.sub(lambda each: re.sub(r"[^\n]+", "", each[0]), text)
    return sorted([*found, *_indented(blank, page)], key=lambda block: block.line)


def every_block() -> list[Block]:
    """The blocks of all pages."""
    return [
        block
        for path in pages()
        for block in blocks(path.read_text("utf-8"), path.relative_to(ROOT).as_posix())
    ]


def _fenced(found: re.Match[str], text: str, page: str) -> Block:
    before = text[: found.start()]
    lines = before.rstrip().rsplit("\n", 1)
    return Block(page, before.count("\n") + 1, found[2].lower(), found[3], _mark(lines[-1]))


def _indented(text: str, page: str) -> Iterator[Block]:
    lines = text.splitlines()
    inside: list[str] = []
    last = ""
    for number, line in enumerate([*lines, "end"], start=1):
        if inside and (line.startswith("    ") or not line.strip()):
            inside.append(line[4:])
        elif inside:
            content = "\n".join(inside).rstrip("\n") + "\n"
            yield Block(page, number - len(inside), "", content, _mark(last))
            inside = []
        elif line.startswith("    ") and _may_begin(lines, number, last):
            inside = [line[4:]]
        if not inside and line.strip():
            last = line


def _may_begin(lines: list[str], number: int, last: str) -> bool:
    """Whether an indented line begins a block: not in a paragraph, not in an item of a list."""
    above = lines[number - 2] if number > 1 else ""
    apart = not above.strip() or above.startswith(("#", "<!--"))
    return apart and not _LIST.match(last) and not last.startswith(" ")


def _mark(line: str) -> tuple[str, str] | None:
    found = _MARK.search(line.strip())
    return None if found is None else (found[1], found[2])


def _is_toml(text: str) -> bool:
    try:
        return bool(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        return False


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def _without_assignments(words: list[str]) -> Iterator[tuple[str, ...]]:
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _REDIRECTIONS:
            skip = True
            if kept and kept[-1] in ("1", "2"):
                kept.pop()
        elif kept or not _ASSIGNMENT.fullmatch(word):
            kept.append(word)
    if kept:
        yield tuple(kept)
