"""Whether the expected answer stands in the haystacks without the needle."""

from __future__ import annotations

from itertools import islice

from pytest_gptoss.judge.codes import names_code
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import NeedleTask
from pytest_gptoss.scenarios import prose

__all__ = ["refuse_answer_in_haystack"]

_EVERY_WORD = 3000
"""So many sentences of a haystack hold every word of its language."""


def refuse_answer_in_haystack(task: NeedleTask) -> None:
    """Raise UsageError when haystacks name the expected answer by themselves: any model would find it."""
    if task.expect.isdigit():  # haystacks hold no number; 3,000 sentences are made only where one must look
        return
    language = prose.language_of(f"{task.needle}{task.question}")
    fillers = (prose.filler(24, turn, language) for turn in range(6))
    text = prose.join([*islice(prose.sentences(0, language), _EVERY_WORD), *fillers], language)
    stands = task.expect in text if language == "zh" else names_code(text.lower(), task.expect.lower())
    if stands:
        raise UsageError(
            f"--gptoss-expect is {task.expect!r}, which the haystack says by itself: "
            "expect a number, or a word of your own"
        )
