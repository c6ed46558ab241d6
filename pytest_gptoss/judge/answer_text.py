"""What an answer says by its own token ids, and where the server's text departs from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_gptoss.judge.evidence import first_difference
from pytest_gptoss.model.gptoss import FIRST_CONTROL_TOKEN
from pytest_gptoss.model.harmony import HarmonyMessage, ends_in_header, harmony_messages
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, NeedleAnswer
from pytest_gptoss.model.token_text import text_of

__all__ = ["PARSER_AT_FAULT", "AnswerText", "answer_text"]

PARSER_AT_FAULT = say(
    "the server's parser (--reasoning-parser openai_gptoss, where it is set) or something between it and the "
    "client is at fault, not the device"
)

_NO_CHARACTER = "\ufffd"
_SHOWN = 40
_BEFORE = 10


@dataclass(frozen=True, slots=True)
class AnswerText:
    """The texts of an answer.

    ``analysis`` and ``final`` are decoded from its token ids where these are told and in harmony's form
    (``by_ids``), else the server's reasoning and content. ``departure`` says where the server's text is
    another than its token ids', None where it is not or cannot be compared. ``unparsed``: the content is
    all ids' text without control tokens, as ``/v1/completions`` gives it.
    """

    analysis: str
    final: str
    by_ids: bool = False
    departure: str | None = None
    unparsed: bool = False

    @property
    def text(self) -> str:
        """All of it: analysis, then the final answer."""
        return "\n".join(part for part in (self.analysis, self.final) if part)


def answer_text(answer: Generation | NeedleAnswer) -> AnswerText:
    """Read an answer by its token ids, as far as they are told."""
    ids = answer.token_ids or ()
    messages = harmony_messages(ids)
    if not messages:
        return AnswerText(answer.reasoning, answer.content)
    unseen = [each.text for each in messages if not each.visible and each.recipient is None]
    visible = [each.text for each in messages if each.visible]
    raw = text_of([token for token in ids if token < FIRST_CONTROL_TOKEN])
    return AnswerText(
        "\n".join(unseen),
        "\n".join(visible),
        by_ids=True,
        departure=_departure(answer, ids, messages),
        unparsed=not answer.reasoning and _compared(answer.content) == _compared(raw),
    )


def _departure(
    answer: Generation | NeedleAnswer, ids: Sequence[int], messages: Sequence[HarmonyMessage]
) -> str | None:
    """Where content or reasoning is none of what a sound parser makes of the messages.

    Sound ones differ: they join several messages of a channel in their own ways or keep the last, and put
    preambles and tools' messages into the one or the other. Ids that end in a header are left alone, and
    reserved ids, whose text is not defined.
    """
    if ends_in_header(ids) or any(token >= FIRST_CONTROL_TOKEN for each in messages for token in each.body):
        return None
    plain = [each for each in messages if each.recipient is None]
    finals = [each for each in plain if each.channel == "final"]
    visible = [each for each in messages if each.visible]
    analysis = [each for each in plain if each.channel == "analysis"]
    to_tools = [each for each in messages if each.channel == "analysis"]
    hidden = [each for each in plain if each.channel != "final"]
    return _differs("content", answer.content, finals, visible) or _differs(
        "reasoning", answer.reasoning, analysis, hidden, to_tools
    )


def _differs(field: str, said: str, *readings: Sequence[HarmonyMessage]) -> str | None:
    """How the server's text of a field differs from every reading of the ids; None where it is one."""
    texts = [text for reading in readings for text in _joined([each.text for each in reading])]
    if _compared(said) in map(_compared, texts):
        return None
    expected, given = _compared(max(texts, key=len)), _compared(said)
    at = max(0, first_difference(expected, given) - _BEFORE)
    held = (
        say("its token ids hold {expected}", expected=repr(expected[at : at + _SHOWN]))
        if expected
        else say("its token ids hold none")
    )
    came = f"{given[at : at + _SHOWN]!r}" if given else say("empty")
    return say("{field} is {came} where {held}", field=field, came=came, held=held)


def _joined(texts: Sequence[str]) -> Iterator[str]:
    yield from (glue.join(texts) for glue in ("", "\n", "\n\n"))
    yield from texts[-1:]


def _compared(text: str) -> str:
    """A text without what sound servers treat in their own way: blank ends, bytes of no character."""
    return text.replace(_NO_CHARACTER, "").strip()
