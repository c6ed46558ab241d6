"""Parts of a page, each under a heading of the second level and each written by a command of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["put_part", "text_of_parts"]

_MARK = "\n## "


def put_part(page: Path, title: str, lines: Sequence[str]) -> None:
    """Write the part with this title in the place of the one that the page has, or at its end."""
    head, *parts = page.read_text("utf-8").split(_MARK) if page.is_file() else [""]
    written = "\n".join([title, "", *lines]).strip() + "\n"
    places = [place for place, part in enumerate(parts) if part.partition("\n")[0] == title]
    if places:
        parts[places[0]] = written
    else:
        parts.append(written)
    page.write_text(_MARK.join(f"{part.rstrip()}\n" for part in (head, *parts)), "utf-8")


def text_of_parts(page: Path) -> str:
    """All parts of a page as they are, for the command that writes what stands before them."""
    _, mark, parts = page.read_text("utf-8").partition(_MARK) if page.is_file() else ("", "", "")
    return mark + parts
