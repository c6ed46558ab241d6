"""Long context: whether the code hidden in a long prompt is named, and why it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal, TypeAlias

from pytest_gptoss.judge.answer_text import PARSER_AT_FAULT, answer_text
from pytest_gptoss.judge.codes import names_code
from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.garbage import garbage_of
from pytest_gptoss.judge.intervals import wilson
from pytest_gptoss.judge.metric import metric_family
from pytest_gptoss.judge.needle_cells import Cell, read_cell, size
from pytest_gptoss.judge.roles import Roles, gpu_of
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import joined, say
from pytest_gptoss.model.results import Measurement, NeedleAnswer
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Scenario

__all__ = [
    "FRAME_AT_MOST",
    "Outcome",
    "needle_control",
    "needle_edge",
    "needle_first_token",
    "needle_recall",
    "outcome_of",
]

Outcome: TypeAlias = Literal["hit", "miss", "truncated", "rejected", "out_of_memory", "cut", "timeout"]

FRAME_AT_MOST = 128
"""Tokens that any two chats share: the harmony frame. More of a prompt from the prefix cache is a leak."""

_ADVICE: Mapping[Outcome, str] = {
    "truncated": say(
        "something cuts prompts short without a word: look for truncate_prompt_tokens, a proxy, "
        "and the model's own --max-model-len"
    ),
    "rejected": say(
        "the server refuses the prompt: serve with a --max-model-len that holds it and its answer"
    ),
    "out_of_memory": say(
        "the server ran out of memory or died: see its log; serve with a smaller "
        "--max-num-batched-tokens or --gpu-memory-utilization, or on more devices"
    ),
    "cut": say(
        "max_tokens ended the answer before it was given: the analysis took the room of both, see what it "
        "went on about in long_context_report.json"
    ),
    "timeout": say(
        "the server did not answer in time: see its log, or allow more with "
        "--gptoss-first-token-timeout or --gptoss-timeout"
    ),
}


def _npu(roles: Roles, cell: Cell) -> Mapping[str, Scenario]:
    return {"npu": cell.scenario(roles.subject)}


def outcome_of(answer: NeedleAnswer) -> Outcome:
    """How one trial ended. A prompt that lost tokens on its way is no test, whatever was answered.

    The answer is what its token ids say where they are told, else the server's content. One that max_tokens
    ended is a miss when it is garbage (``garbage_of``), whatever it says before.
    """
    if answer.trouble is not None:
        return answer.trouble
    if answer.prompt_tokens is None or answer.prompt_tokens < answer.planned_tokens:
        return "truncated"
    if _cut_garbage(answer):
        return "miss"
    if names_code(answer_text(answer).final, answer.code):
        return "hit"
    return "cut" if answer.cut else "miss"


def _cut_garbage(answer: NeedleAnswer) -> str | None:
    return garbage_of(answer) if answer.cut or answer.finish_reason == "length" else None


@metric_family(
    "needle_recall",
    of=read_cell,
    needs=_npu,
    statistics=("rate",),
    info=lambda cell: (
        f"needle_first_token.{cell.name}",
        f"needle_edge.{cell.name}",
        f"position_drift.{size(cell.length)}",
    ),
)
def needle_recall(*, npu: Measurement[NeedleAnswer]) -> Estimate:
    """Share of trials whose final answer names the code, with Wilson's interval.

    Raises InsufficientData when a trial was no test: not asked, truncated, rejected, out of memory, cut,
    or timed out. Details: ``trials``, one entry each; ``note`` where the server's text is not what its token
    ids say: the ids are judged, and the parser is named.
    """
    answers = _tested(npu)
    hits = sum(outcome_of(answer) == "hit" for answer in answers)
    details: dict[str, Json] = {"trials": [_trial(answer) for answer in answers]}
    missed = next((answer for answer in answers if outcome_of(answer) == "miss"), None)
    if missed is not None:
        details["finding"] = say(
            "{misses} of {needles} needles missed, first trial {trial}: {said}",
            misses=len(answers) - hits,
            needles=len(answers),
            trial=missed.trial,
            said=_said(missed),
        )
    note = _parsers_fault(npu, answers)
    if note is not None:
        details["note"] = note
    return Estimate(hits / len(answers), "share", len(answers), wilson(hits, len(answers)), details)


@metric_family(
    "needle_control",
    of=read_cell,
    needs=lambda roles, cell: {"npu": cell.scenario(roles.subject, control=True)},
    statistics=("count",),
)
def needle_control(*, npu: Measurement[NeedleAnswer]) -> Estimate:
    """Count of trials that name the code although it is not in the text; no interval, it is a census.

    Raises InsufficientData as ``needle_recall`` does, and for an answer that is garbage: what the model says
    where nothing is hidden cannot be seen in it.
    """
    answers = _tested(npu)
    named = [answer for answer in answers if names_code(answer_text(answer).final, answer.code)]
    garbage = next(((each.trial, said) for each in answers if (said := garbage_of(each))), None)
    if garbage is not None and not named:
        raise InsufficientData(
            say(
                "{device}: trial {trial} does not show whether the model names a code that is "
                "not there: {why}; see the same cell of needle.recall",
                device=npu.device,
                trial=garbage[0],
                why=garbage[1],
            )
        )
    details: dict[str, Json] = {"trials": [_trial(answer) for answer in answers]}
    if named:
        details["finding"] = say(
            "{named} of {answers} answers name the code that is not in the text, first trial "
            "{trial}: {final}; the model guesses it or the server mixes requests: choose "
            "another with --gptoss-needle",
            named=len(named),
            answers=len(answers),
            trial=named[0].trial,
            final=repr(answer_text(named[0]).final),
        )
    return Estimate(float(len(named)), "answers", len(answers), details=details)


@metric_family(
    "needle_edge",
    of=read_cell,
    needs=lambda roles, cell: {"npu": cell.scenario(roles.subject), "gpu": cell.scenario(gpu_of(roles))},
    baseline=True,
)
def needle_edge(*, npu: Measurement[NeedleAnswer], gpu: Measurement[NeedleAnswer]) -> Estimate:
    """The baseline's recall in the same cell, and whose fault a miss is. Never judged.

    Raises InsufficientData as ``needle_recall`` does, and when the two were asked for different needles.
    """
    ours, theirs = _tested(npu), _tested(gpu)
    if npu.provenance.get("needle") != gpu.provenance.get("needle"):
        raise InsufficientData(
            say(
                "{device} was asked for other needles than {other}: record the baseline again",
                device=gpu.device,
                other=npu.device,
            )
        )
    hits = {"npu": _hits(ours), "gpu": _hits(theirs)}
    details: dict[str, Json] = {"hits": {name: len(found) for name, found in hits.items()}}
    finding = _whose(hits["npu"], hits["gpu"], trials=len(ours), npu=npu.device, gpu=gpu.device)
    if finding is not None:
        details["finding"] = say("{where}: {error}", where=_cell(npu), error=finding)
    share = len(hits["gpu"]) / len(theirs)
    return Estimate(share, "share", len(theirs), wilson(len(hits["gpu"]), len(theirs)), details)


@metric_family("needle_first_token", of=read_cell, needs=_npu)
def needle_first_token(*, npu: Measurement[NeedleAnswer]) -> Estimate:
    """Median wait for the first token in milliseconds, which is the prefill where nothing was cached.

    Never judged. Details: ``cached_tokens``, the most that any trial took from the prefix cache, None where
    the server does not tell. Raises InsufficientData as ``needle_recall`` does, and without one first token.
    """
    answers = _tested(npu)
    waits = [answer.first_token_ms for answer in answers if answer.first_token_ms is not None]
    if not waits:
        raise InsufficientData(
            say("{device}: no first token was timed: the answers are empty", device=npu.device)
        )
    cached = max((each.cached_tokens for each in answers if each.cached_tokens is not None), default=None)
    details: dict[str, Json] = {"cached_tokens": cached}
    if cached is not None and cached > FRAME_AT_MOST:
        details["finding"] = say(
            "{npu}: {cached} tokens of the prompt came from {device}'s prefix cache, so its "
            "first-token time is no prefill: does the server heed cache_salt, and is it used "
            "by others?",
            npu=_cell(npu),
            cached=cached,
            device=npu.device,
        )
    return Estimate(median(waits), "ms", len(waits), details=details)


def _whose(ours: set[int], theirs: set[int], *, trials: int, npu: str, gpu: str) -> str | None:
    both_miss = trials - len(ours | theirs)
    parts = []
    if both_miss:
        parts.append(
            say(
                "both miss {both_miss} of {trials}: the model's, not the device's",
                both_miss=both_miss,
                trials=trials,
            )
        )
    if theirs - ours:
        parts.append(
            say(
                "only {npu} misses {theirs} of {trials}: the device's",
                npu=npu,
                theirs=len(theirs - ours),
                trials=trials,
            )
        )
    if ours - theirs:
        parts.append(
            say(
                "only {gpu} misses {ours} of {trials}: the baseline's",
                gpu=gpu,
                ours=len(ours - theirs),
                trials=trials,
            )
        )
    return joined(parts) or None


def _tested(measurement: Measurement[NeedleAnswer]) -> Sequence[NeedleAnswer]:
    """The answers, when every trial was a test."""
    if not measurement.items and not measurement.failures and measurement.left_out:
        raise InsufficientData(next(iter(measurement.left_out.values())))
    answers = sound_items(measurement, "trials")
    for answer in answers:
        outcome = outcome_of(answer)
        if outcome in _ADVICE:
            raise InsufficientData(
                say(
                    "{device}: {outcome} in trial {trial}, {answer}: {advice}",
                    device=measurement.device,
                    outcome=outcome.replace("_", " "),
                    trial=answer.trial,
                    answer=_what(answer),
                    advice=_ADVICE[outcome],
                )
            )
    return answers


def _what(answer: NeedleAnswer) -> str:
    if answer.message:
        return answer.message
    if answer.cut:
        thought = answer_text(answer).analysis
        return say(
            "{count} characters of analysis, no answer; it ends {end}",
            count=len(thought),
            end=repr(thought[-60:]),
        )
    return say(
        "the server counts {prompt_tokens} of {planned_tokens} prompt tokens",
        prompt_tokens=answer.prompt_tokens,
        planned_tokens=answer.planned_tokens,
    )


def _said(answer: NeedleAnswer) -> str:
    read = answer_text(answer)
    garbage = _cut_garbage(answer)
    if garbage is not None:
        return say("asked for {code}, cut at max_tokens, {garbage}", code=answer.code, garbage=garbage)
    quoted = read.final if len(read.final) <= 80 else read.final[:80] + "..."
    thought = say(" (its analysis alone names the code)") if names_code(read.analysis, answer.code) else ""
    return say(
        "asked for {code}, answered {quoted}{thought}", code=answer.code, quoted=repr(quoted), thought=thought
    )


def _parsers_fault(measurement: Measurement[NeedleAnswer], answers: Sequence[NeedleAnswer]) -> str | None:
    """A note on answers whose text is not what their token ids say; None where there is none."""
    departed = [(each.trial, said) for each in answers if (said := answer_text(each).departure)]
    if not departed:
        return None
    trial, said = departed[0]
    return say(
        "{measurement}: the text of {departed} of {answers} answers of {device} departs "
        "from its own token ids, which are judged, first trial {trial}: {said}: "
        "{parser_at_fault}",
        measurement=_cell(measurement),
        departed=len(departed),
        answers=len(answers),
        device=measurement.device,
        trial=trial,
        said=said,
        parser_at_fault=PARSER_AT_FAULT,
    )


def _hits(answers: Sequence[NeedleAnswer]) -> set[int]:
    return {answer.trial for answer in answers if outcome_of(answer) == "hit"}


def _cell(measurement: Measurement[NeedleAnswer]) -> str:
    """The scenario's id without its device: ``needle d025-32k``."""
    return say("needle {cell}", cell=measurement.scenario_id.removeprefix(f"needle-{measurement.device}-"))


def _trial(answer: NeedleAnswer) -> Json:
    return {
        "trial": answer.trial,
        "outcome": outcome_of(answer),
        "code": answer.code,
        "answer": answer_text(answer).final,
        "prompt_tokens": answer.prompt_tokens,
        "achieved_depth": answer.depth,
        "first_token_ms": answer.first_token_ms,
        "cached_tokens": answer.cached_tokens,
    }
