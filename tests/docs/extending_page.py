"""The worked examples of ``docs/extending.md``: where parts go, and what tells forgotten ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "extending.md"

_PLACE = re.compile(
    r"(?:New file `(?P<new>[^`]+)`"
    r"|At the end of `(?P<end>[^`]+)`"
    r"|In `(?P<file>[^`]+)`, (?P<how>below the line with|behind) `(?P<anchor>.+)`):"
)
_FORGOTTEN = re.compile(r"Forgotten: `(\w+)` in `([\w/.]+)` fails: (.+)")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Forgotten:
    """The test that fails when a part is forgotten, and words of what it says."""

    test: str
    file: str
    words: str


@dataclass(frozen=True)
class Part:
    """One block of an addition: ``kind`` of change, the file it changes, and the text that goes in."""

    addition: str
    kind: str
    file: str
    anchor: str
    text: str
    forgotten: Forgotten | None

    @property
    def id(self) -> str:
        """For a test's name: ``an option: pytest_gptoss/config/options.py``."""
        return f"{self.addition.lower()}: {self.file}"

    def apply(self, root: Path) -> None:
        """Change the file below ``root``; raises LookupError when its anchor is not there once."""
        path = root / self.file
        if self.kind == "new":
            path.write_text(self.text, "utf-8")
        elif self.kind == "end":
            path.write_text(path.read_text("utf-8") + self.text, "utf-8")
        else:
            path.write_text(self._inserted(path.read_text("utf-8")), "utf-8")

    def _inserted(self, content: str) -> str:
        if content.count(self.anchor) != 1:
            raise LookupError(f"{self.file}: `{self.anchor}` is there {content.count(self.anchor)} times")
        at = content.index(self.anchor) + len(self.anchor)
        if self.kind == "behind":
            return content[:at] + self.text.rstrip("\n") + content[at:]
        at = content.index("\n", at) + 1
        return content[:at] + self.text + content[at:]


def parts() -> list[Part]:
    """All parts of all additions, in the order of the page."""
    sections = re.split(r"^## (.+)$", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    pairs = zip(sections[::2], sections[1::2], strict=True)
    return [part for title, text in pairs for part in _parts(title, text)]


def block(before: str) -> str:
    """The one block whose paragraph ends with ``before``, less an indentation that all its lines have."""
    text = PAGE.read_text("utf-8")
    found = [each for each in _BLOCK.finditer(text) if text[: each.start()].rstrip().endswith(before)]
    (only,) = found
    return only[2]


def _parts(title: str, text: str) -> list[Part]:
    found = []
    for each in _BLOCK.finditer(text):
        before = text[: each.start()].rstrip().rpartition("\n\n")[2]
        place = _PLACE.fullmatch(before.strip())
        if place is None:
            continue
        after = text[each.end() :].lstrip().partition("\n")[0]
        told = _FORGOTTEN.fullmatch(after)
        kind = "new" if place["new"] else "end" if place["end"] else str(place["how"]).partition(" ")[0]
        file = place["new"] or place["end"] or place["file"]
        forgotten = None if told is None else Forgotten(*told.groups())
        found.append(Part(title, kind, file, place["anchor"] or "", each[2], forgotten))
    return found
