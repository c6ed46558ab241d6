"""Whether requests that run at once keep their own answers."""

from __future__ import annotations

from pytest_gptoss.judge.answer_text import answer_text
from pytest_gptoss.judge.codes import names_code
from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.needs import feature
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, Measurement
from pytest_gptoss.model.verdicts import Estimate

__all__ = ["no_mixing"]


@metric(
    "no_mixing",
    needs=feature("tags"),
    statistics=("count",),
)
def no_mixing(*, npu: Measurement[Generation]) -> Estimate:
    """Count of answers that name the tag of another request, among those that name any.

    Raises InsufficientData when fewer than half name their own: then a mix-up would not show.
    """
    answers = sound_items(npu, "requests")
    tags = [answer.prompt_id for answer in answers]
    texts = {answer.prompt_id: answer_text(answer).text for answer in answers}
    own = [answer for answer in answers if names_code(texts[answer.prompt_id], answer.prompt_id)]
    mixed = [
        (answer, tag)
        for answer in answers
        for tag in tags
        if tag != answer.prompt_id and names_code(texts[answer.prompt_id], tag)
    ]
    if len(own) * 2 < len(answers) and not mixed:
        said = next(answer for answer in answers if answer not in own).content
        raise InsufficientData(
            say(
                "{device}: only {own} of {answers} answers name the code they were given, a "
                "mix-up would not show; one says {said}",
                device=npu.device,
                own=len(own),
                answers=len(answers),
                said=repr(said[:60]),
            )
        )
    details: dict[str, Json] = {
        "own": len(own),
        "mixed": [
            {"request": answer.prompt_id, "named": tag, "content": answer.content} for answer, tag in mixed
        ],
    }
    if mixed:
        answer, tag = mixed[0]
        details["finding"] = say(
            "{device} mixes requests that run at once: the answer to {prompt_id} names "
            "{tag}, another request's code: {content}",
            device=npu.device,
            prompt_id=answer.prompt_id,
            tag=tag,
            content=repr(answer.content[:60]),
        )
    return Estimate(
        float(len({answer.prompt_id for answer, _ in mixed})), "answers", len(answers), details=details
    )
