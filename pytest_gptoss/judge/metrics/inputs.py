"""Whether both devices were given the same input: before that is known nothing else means anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gptoss.judge.against_first import against_first
from pytest_gptoss.judge.comparison import answers
from pytest_gptoss.judge.evidence import first_difference, pair, probed
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles, gpu_of
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.gptoss import END, START
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, Measurement
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Rendered, Scenario

__all__ = ["identical"]

_ROLES = {17360: "system", 77944: "developer", 1428: "user", 173781: "assistant"}
_CURRENT_DATE = (6576, 3521, 25)
"""The ids of "Current date:" in the harmony system message."""
_DATE_LENGTH = 12
"""Ids from "Current date:" to the blank line behind the date."""

_DATE = say(
    "the date in the harmony system prompt differs: start both servers with the same "
    "VLLM_SYSTEM_START_DATE=YYYY-MM-DD"
)
_SYSTEM = say(
    "the harmony system message differs (reasoning effort, channels or tools): serve both the same way, "
    "or run with --gptoss-inputs token-ids"
)
_GENERATIONS = say(
    "system or developer messages are rendered differently, as two vLLM generations do: "
    "run with --gptoss-inputs token-ids"
)
_CUT = say(
    "one prompt is the beginning of the other: one server truncates prompts; "
    "compare --max-model-len of both, or run with --gptoss-inputs token-ids"
)
_TEXT = say(
    "the conversation is rendered or tokenised differently: compare the servers' versions and tokenizers, "
    "or run with --gptoss-inputs token-ids"
)


def _both_prompts(roles: Roles) -> Mapping[str, Scenario]:
    # From prompts, not from answers: a device whose answers are unusable is still compared by its scores.
    sides = {"npu": roles.subject, "gpu": gpu_of(roles)}
    return {role: Rendered(device, answers=answers(device, roles)) for role, device in sides.items()}


@against_first
@metric("inputs_identical", needs=_both_prompts, baseline=True, statistics=("rate",))
def identical(*, npu: Measurement[Generation], gpu: Measurement[Generation]) -> Estimate:
    """Share of prompts whose ``prompt_token_ids`` are equal on both devices; no interval, it is a census.

    Details: ``differences``, one entry a prompt: first differing position (from 0), the token there
    on each side (None past the end), and the likely cause.
    """
    pairs = pair(npu, gpu, "prompts")
    differences: list[Json] = []
    for ours, theirs in pairs:
        left, right = _prompt_ids(ours, npu), _prompt_ids(theirs, gpu)
        if left != right:
            differences.append(_difference(ours.prompt_id, left, right))
    details: dict[str, Json] = {"differences": differences}
    if differences:
        first = differences[0]
        details["finding"] = say(
            "{differences} of {pairs} prompts differ, first {prompt_id} at position {position}: {cause}",
            differences=len(differences),
            pairs=len(pairs),
            prompt_id=first["prompt_id"],
            position=first["position"],
            cause=first["cause"],
        )
    return Estimate(1 - len(differences) / len(pairs), "share", len(pairs), details=details)


def _prompt_ids(answer: Generation, measurement: Measurement[Generation]) -> Sequence[int]:
    if not answer.prompt_token_ids:
        advice = probed(measurement, "token_ids", say("serve with a vLLM that knows return_token_ids"))
        raise InsufficientData(
            say(
                "{device} withholds prompt_token_ids (first {prompt_id}): {advice}; if only an "
                "npu withholds them, run with --gptoss-inputs token-ids",
                device=measurement.device,
                prompt_id=answer.prompt_id,
                advice=advice,
            )
        )
    return answer.prompt_token_ids


def _difference(prompt_id: str, npu: Sequence[int], gpu: Sequence[int]) -> Json:
    at = first_difference(npu, gpu)
    return {
        "prompt_id": prompt_id,
        "position": at,
        "npu_token": npu[at] if at < len(npu) else None,
        "gpu_token": gpu[at] if at < len(gpu) else None,
        "cause": _cause(npu, gpu, at),
    }


def _cause(npu: Sequence[int], gpu: Sequence[int], at: int) -> str:
    if at == min(len(npu), len(gpu)):
        return _CUT
    message = list(npu[:at]).count(START)
    if message <= 1 and END not in npu[:at]:
        in_date = _near_date(npu, at) or _near_date(gpu, at)
        return _DATE if in_date else _SYSTEM
    if {_role_at(npu, at), _role_at(gpu, at)} & {"system", "developer"}:
        return _GENERATIONS
    return _TEXT


def _near_date(ids: Sequence[int], at: int) -> bool:
    """Whether ``at`` lies in the date line; one earlier counts: the line break before it may merge."""
    width = len(_CURRENT_DATE)
    starts = (i for i in range(len(ids) - width + 1) if tuple(ids[i : i + width]) == _CURRENT_DATE)
    start = next(starts, None)
    return start is not None and start - 1 <= at < start + _DATE_LENGTH


def _role_at(ids: Sequence[int], at: int) -> str | None:
    """Role of the message that position ``at`` belongs to, its role token included."""
    for index in range(at, -1, -1):
        if ids[index] == START:
            return _ROLES.get(ids[index + 1]) if index + 1 < len(ids) else None
    return None
