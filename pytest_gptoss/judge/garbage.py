"""Whether an answer is garbage: one token or phrase over and over to its end, or no text in all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gptoss.judge.answer_text import answer_text
from pytest_gptoss.model.gptoss import NAMED_TOKENS
from pytest_gptoss.model.harmony import harmony_messages
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import NeedleAnswer
from pytest_gptoss.model.token_text import text_of

__all__ = ["garbage_of"]

_PERIODS = 3
"""So many times in a row, to the end, a phrase must stand before it counts as repeated: what is said twice
is emphasis or a quotation."""


@dataclass(frozen=True, slots=True)
class _Enough:
    """How long the repeated end must be: ``end`` units, or half of a short answer but ``least`` units."""

    end: int
    least: int


_TOKENS = _Enough(end=64, least=16)
"""64 tokens are a needle sentence of eight tokens eight times over, and more than twice the longest run that
a haystack itself holds (a filler of 24 words), so that an analysis that quotes it does not count."""
_CHARACTERS = _Enough(end=512, least=64)
"""Text of unknown tokens: a token has about four characters, and rules of tables and rows of dots are longer
than they have tokens, so that twice the tokens' measure is asked for."""
_LOOKED_AT = 4096
"""Units at the end that are searched: an answer of 1,024 tokens has about as many characters."""
_SHOWN = 60


def garbage_of(answer: NeedleAnswer) -> str | None:
    """Say in words why an answer is garbage, with an excerpt; None for one that is not.

    Judged by token ids where they are told, else by text. Repeated: the answer ends in at least three whole
    periods of one token or phrase, which are 64 tokens or more, or half of an answer that is shorter than 128
    (16 at least). The same is asked of its text with 512 and 64 characters, blanks of any length taken as
    one: a run of one character can be written in various tokens. No text: neither the server's fields nor
    the messages in the ids hold anything but blanks. That the answer was cut is the caller's to know.
    """
    ids = answer.token_ids or ()
    period = _period(ids, _TOKENS)
    if period:
        return _repeated(
            text_of(ids[-period:]),
            say("the last {run} of {all} tokens", run=_run(ids, period), all=len(ids)),
        )
    read = answer_text(answer)
    if not read.text.strip() and not (answer.content or answer.reasoning).strip():
        return _without_text(ids)
    text = " ".join(read.text.split())
    period = _period(text, _CHARACTERS)
    if period:
        return _repeated(
            text[-period:],
            say("the last {run} of {all} characters", run=_run(text, period), all=len(text)),
        )
    return None


def _period(units: Sequence[object], enough: _Enough) -> int:
    """Length of the shortest phrase that the end repeats; 0 when it repeats none for long enough."""
    wanted = max(enough.least, min(enough.end, len(units) // 2))
    end = units[-_LOOKED_AT:]
    for period in range(1, len(end) // _PERIODS + 1):
        if _run(end, period) >= max(wanted, _PERIODS * period):
            return period
    return 0


def _run(units: Sequence[object], period: int) -> int:
    """How many units at the end are those of one phrase of ``period`` units, over and over."""
    at = len(units) - 1
    while at >= period and units[at] == units[at - period]:
        at -= 1
    return len(units) - 1 - at + period


def _repeated(phrase: str, where: str) -> str:
    shown = phrase if len(phrase) <= _SHOWN else phrase[:_SHOWN] + "..."
    return say("garbage: {where} repeat {shown}", where=where, shown=repr(shown))


def _without_text(ids: Sequence[int]) -> str:
    if not ids:
        return say("no text came, and the server withholds its token ids")
    if harmony_messages(ids):
        return say("no text in {ids} tokens", ids=len(ids))
    written = text_of([token for token in ids if token not in NAMED_TOKENS])
    if not written.strip():
        return say("no text in {ids} tokens", ids=len(ids))
    return say(
        "garbage: {ids} tokens without a harmony message, they begin {written}",
        ids=len(ids),
        written=repr(written[:_SHOWN]),
    )
