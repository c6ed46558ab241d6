"""Whether reasoning stands in its own field, apart from the content."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gptoss.judge.answer_text import PARSER_AT_FAULT, answer_text
from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import questions
from pytest_gptoss.judge.tool_parser import PARSER_FLAGS
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.harmony import harmony_messages
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, Measurement
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["reasoning"]


@metric(
    "reasoning",
    needs=questions("npu"),
    statistics=("rate",),
    info=("effort",),
)
def reasoning(*, npu: Measurement[Generation]) -> Estimate:
    """Share of finished answers whose reasoning stands in its own field, apart from the content.

    Where token ids are told, both fields must be what these say: text that departs from them is the
    parser's fault. An answer whose token ids show no analysis channel has nothing to set apart and is left
    out, unless its text departs. Raises InsufficientData when no answer came to its end, or none of those
    reasons.
    """
    ended = [each for each in sound_items(npu, "questions") if each.finish_reason == "stop"]
    if not ended:
        raise InsufficientData(
            say("{device}: no answer came to its end: allow more tokens", device=npu.device)
        )
    departures = {each.prompt_id: said for each in ended if (said := answer_text(each).departure)}
    finished = [
        each
        for each in ended
        if each.token_ids is None or _reasons(each.token_ids) or each.prompt_id in departures
    ]
    if not finished:
        raise InsufficientData(
            say(
                "{device}: none of {ended} answers has an analysis channel in its tokens, so "
                "whether reasoning is set apart cannot be seen: GPT-OSS reasons unless it is "
                "told not to; see precision and the server's default reasoning effort",
                device=npu.device,
                ended=len(ended),
            )
        )
    apart = [
        each
        for each in finished
        if each.prompt_id not in departures
        and each.reasoning
        and each.content
        and each.reasoning not in each.content
    ]
    details: dict[str, Json] = {
        "answers": [
            {"id": each.prompt_id, "reasoning": each.reasoning, "content": each.content} for each in finished
        ]
    }
    if len(apart) < len(finished):
        first = next(each for each in finished if each not in apart)
        analysis = answer_text(first).analysis
        poured = bool(analysis) and not first.reasoning and analysis in first.content
        departure = None if poured else departures.get(first.prompt_id)
        why = (
            say(
                "reasoning {reasoning}, content {content}: serve with {flags}",
                reasoning=repr(first.reasoning[:40]),
                content=repr(first.content[:40]),
                flags=PARSER_FLAGS,
            )
            if departure is None
            else say(
                "its text departs from its token ids: {departure}: {cause}",
                departure=departure,
                cause=PARSER_AT_FAULT,
            )
        )
        details["finding"] = say(
            "{device}: {mixed} of {finished} answers do not hold their reasoning apart, "
            "first {prompt_id}: {why}",
            device=npu.device,
            mixed=len(finished) - len(apart),
            finished=len(finished),
            prompt_id=first.prompt_id,
            why=why,
        )
    return Estimate(len(apart) / len(finished), "share", len(finished), details=details)


def _reasons(token_ids: Sequence[int]) -> bool:
    return any(each.channel == "analysis" for each in harmony_messages(token_ids))
