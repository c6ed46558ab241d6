"""Writes the pages of docs/ that are made from the program; ``--check`` only compares.

python tools/docs_pages.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from docs_options import options_page
from docs_rows import rows_page

__all__ = ["PAGES", "main"]

DOCS = Path(__file__).resolve().parent.parent / "docs"

PAGES: Mapping[str, Callable[[], str]] = {
    "rows.md": lambda: rows_page("en"),
    "zh/rows.md": lambda: rows_page("zh"),
    "options.md": options_page,
}
"""Pages by their path in docs/, and what makes their text."""


def main() -> int:
    """Write the pages, or with ``--check`` return 1 when one is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 when a page is stale")
    check = parser.parse_args().check
    stale = [name for name, make in PAGES.items() if _text(name) != make()]
    if check and stale:
        print(f"docs/{stale[0]} is stale: run python tools/docs_pages.py", file=sys.stderr)
        return 1
    for name in stale:
        path = DOCS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PAGES[name](), "utf-8")
    return 0


def _text(name: str) -> str | None:
    path = DOCS / name
    return path.read_text("utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
