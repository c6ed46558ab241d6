"""Whether answers are the same streamed and whole."""

from __future__ import annotations

from pytest_gptoss.judge.answer_difference import answer_difference
from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import questions
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import AGAIN, Generation, Measurement
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["streaming"]


@metric(
    "streaming",
    needs=questions("streamed", whole="whole"),
    statistics=("rate",),
)
def streaming(*, streamed: Measurement[Generation], whole: Measurement[Generation]) -> Estimate:
    """Share of answers that are the same streamed and whole: token ids, reasoning, content, ending.

    An answer that the server does not repeat when it is asked for whole twice is no evidence and left
    out (``unrepeatable``). Raises InsufficientData when none is left.
    """
    wholes = {item.prompt_id: item for item in sound_items(whole, "questions")}
    unrepeatable: list[str] = []
    differing: list[tuple[str, str]] = []
    compared = 0
    for item in sound_items(streamed, "questions"):
        once, again = wholes[item.prompt_id], wholes[f"{item.prompt_id}{AGAIN}"]
        if answer_difference(once, again):
            unrepeatable.append(item.prompt_id)
            continue
        compared += 1
        difference = answer_difference(item, once)
        if difference:
            differing.append((item.prompt_id, difference))
    if not compared:
        raise InsufficientData(
            say(
                "{device} answers no question twice alike, so streaming cannot be told from "
                "chance: see its noise floor",
                device=whole.device,
            )
        )
    details: dict[str, Json] = {"unrepeatable": unrepeatable, "differing": dict(differing)}
    if differing:
        details["finding"] = say(
            "{device}: {differing} of {compared} answers differ streamed and whole, first "
            "{question}: {difference}",
            device=whole.device,
            differing=len(differing),
            compared=compared,
            question=differing[0][0],
            difference=differing[0][1],
        )
    return Estimate((compared - len(differing)) / compared, "share", compared, details=details)
