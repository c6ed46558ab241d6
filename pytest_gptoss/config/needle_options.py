"""What is hidden in long texts and asked for, from the options."""

from __future__ import annotations

import re

from pytest_gptoss.config.option_values import CheckedOptions
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import NeedleTask

__all__ = ["needle_from"]


def needle_from(options: CheckedOptions) -> NeedleTask:
    """The needle task; the expected answer is the needle's last number unless given.

    Raises UsageError for an answer that the needle does not hold, that the question gives away, or that no
    other codes could be drawn for. Whether haystacks hold it by themselves is checked by the plan.
    """
    task = NeedleTask(
        needle=options.value("needle"),
        question=options.value("question"),
        expect=_expected(options),
        trials=options.value("needle_trials"),
        seed=options.value("seed"),
        max_context_len=options.value("max_context_len"),
    )
    if task.expect in task.question:
        raise UsageError(
            f"{options.origin('question')} is {task.question!r}, which gives the answer {task.expect!r} "
            "away: ask without it"
        )
    if task.trials > 1 and not re.search(r"[0-9A-Za-z]", task.expect):
        raise UsageError(
            f"{options.origin('needle_trials')} is {task.trials}, and {task.expect!r} holds no digit or "
            "letter to draw other codes from: expect a number"
        )
    return task


def _expected(options: CheckedOptions) -> str:
    needle = options.value("needle")
    numbers = re.findall(r"[0-9]+", needle)
    expect: str | None = options.value("expect") or (numbers[-1] if numbers else None)
    if expect is None:
        raise UsageError(
            f"{options.origin('needle')} is {needle!r}, which holds no number: "
            "say what the answer must name with --gptoss-expect TEXT"
        )
    if expect not in needle:
        raise UsageError(
            f"{options.origin('expect')} is {expect!r}, which is no part of the needle {needle!r}: "
            "correct one"
        )
    return expect
