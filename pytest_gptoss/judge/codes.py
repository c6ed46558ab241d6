"""Whether a text names a code: as it is written, or as a number in groups of three digits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["names_code"]

_BEFORE, _AFTER = r"(?<![0-9A-Za-z])(?<![0-9][.,'’_])", r"(?![0-9A-Za-z])(?![.,'’_][0-9])"
"""A code stands on its own: no letter or digit touches it, nor does a part of a longer number."""

_GROUPED = re.compile(r"[1-9][0-9]{0,2}([,'’_ ])[0-9]{3}(?:\1[0-9]{3})*|[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}")
_SHORTEST_GROUPED = 4


def names_code(text: str, code: str) -> bool:
    """Whether ``code`` stands in the text on its own: 7842 is not part of 17842, 7842.5 or a7842.

    A code of four digits or more, no zero in front, may also be written in groups of three from the right:
    7842 is 7,842. Groups are divided by one and the same comma, blank (no-break, thin and narrow ones
    too), apostrophe or underscore throughout. A single point makes a decimal fraction in English and Chinese,
    so points count from two groups on: 1.234.567, but not 7.842. The code may itself be given in groups.
    Full-width characters, as Chinese text may have them, are the same as their plain forms.
    """
    plain = _plain(text)
    return any(re.search(pattern, plain) for pattern in _patterns(_plain(code)))


def _patterns(code: str) -> Iterator[str]:
    yield f"{_BEFORE}{re.escape(code)}{_AFTER}"
    number = re.sub("[^0-9]", "", code) if _GROUPED.fullmatch(code) else code
    if number != code:
        yield f"{_BEFORE}{number}{_AFTER}"
    if not re.fullmatch("[1-9][0-9]+", number) or len(number) < _SHORTEST_GROUPED:
        return
    first = len(number) % 3 or 3
    groups = [number[:first], *(number[at : at + 3] for at in range(first, len(number), 3))]
    for divider in (",", "'", "’", "_"):
        yield f"{_BEFORE}{divider.join(groups)}{_AFTER}"
    # Blanks also stand between numbers: only one more whole group makes it a longer number.
    longer_before = "(?<![0-9] )" if first == 3 else ""
    yield rf"{_BEFORE}{longer_before}{' '.join(groups)}{_AFTER}(?! [0-9]{{3}}(?![0-9]))"
    if len(groups) > 2:
        yield rf"{_BEFORE}{re.escape('.'.join(groups))}{_AFTER}"


def _plain(text: str) -> str:
    """Compatibility forms replaced: full-width digits and commas, and blanks of every width."""
    return unicodedata.normalize("NFKC", text)
