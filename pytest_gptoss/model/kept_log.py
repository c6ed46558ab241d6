"""A kept log's lines about its end: what a server says once the suite ends it is no failure.

vLLM, for one, logs a dead engine whenever it is told to end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["ENDED", "ENDING", "before_its_end"]

ENDING = "pytest-gptoss: the server is being ended by the suite"
ENDED = "pytest-gptoss: the server has ended"


def before_its_end(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The numbered lines of a log without those between ``ENDING`` and ``ENDED``, or the log's end."""
    ending = False
    for number, text in lines:
        if text in (ENDING, ENDED):
            ending = text == ENDING
        elif not ending:
            yield number, text
