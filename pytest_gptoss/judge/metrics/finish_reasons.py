"""Whether answers end for the reason that they tell."""

from __future__ import annotations

from pytest_gptoss.judge.evidence import probed, sound_items
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import questions
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.gptoss import CALL, RETURN
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, Measurement
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["finish_reasons"]

_ENDINGS = (RETURN, CALL)


@metric(
    "finish_reasons",
    needs=questions("finished", cut="cut"),
    statistics=("rate",),
)
def finish_reasons(*, finished: Measurement[Generation], cut: Measurement[Generation]) -> Estimate:
    """Share of answers that end for the reason they tell: ``length`` where cut, ``stop`` behind a stop token.

    Raises InsufficientData when token ids are withheld or no answer of one of the kinds came.
    """
    rows = [("length", answer) for answer in sound_items(cut, "questions")]
    for answer in sound_items(finished, "questions"):
        if answer.token_ids is None:
            why = probed(finished, "token_ids", say("serve with a vLLM that knows return_token_ids"))
            raise InsufficientData(
                say(
                    "{device} withholds token ids, so how an answer ended cannot be seen: {why}",
                    device=finished.device,
                    why=why,
                )
            )
        if answer.token_ids and answer.token_ids[-1] in _ENDINGS:
            rows.append(("stop", answer))
    if {expected for expected, _ in rows} != {"length", "stop"}:
        raise InsufficientData(
            say("{device}: no answer came to its end: allow more tokens", device=finished.device)
        )
    wrong = [(expected, answer) for expected, answer in rows if answer.finish_reason != expected]
    details: dict[str, Json] = {}
    if wrong:
        expected, answer = wrong[0]
        details["finding"] = say(
            "{device}: {wrong} of {rows} answers tell another end than theirs, first "
            "{prompt_id}: {finish_reason} for {expected}",
            device=finished.device,
            wrong=len(wrong),
            rows=len(rows),
            prompt_id=answer.prompt_id,
            finish_reason=repr(answer.finish_reason),
            expected=repr(expected),
        )
    return Estimate((len(rows) - len(wrong)) / len(rows), "share", len(rows), details=details)
