"""One trial of a needle cell on one device: the prompt fitted by the device's own count, then asked."""

from __future__ import annotations

import re
import secrets

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.errors import (
    ConnectError,
    DialectError,
    RequestError,
    RequestTimeout,
    StatusError,
    StreamError,
)
from pytest_gptoss.measure.needle import (
    ANSWER_TOKENS,
    RESERVE,
    Buried,
    bury,
    code_of,
    needle_with,
    planned_tokens,
    seed_of,
)
from pytest_gptoss.measure.prompt_counter import PromptCounter, user_prompt
from pytest_gptoss.records import (
    Capabilities,
    Needle,
    NeedleAnswer,
    NeedleTask,
    NeedleTrouble,
)

__all__ = ["NeedleTrials", "why_left_out"]

SMALL_SLIP = 16
"""By so many tokens ``/tokenize`` may miss the chat's count before the prompt is built anew."""

_HITS = re.compile(r"^vllm:prefix_cache_hits(?:_total)?(?:\{[^}]*\})? (\S+)", re.MULTILINE)


def why_left_out(scenario: Needle, task: NeedleTask, *, context: int | None) -> str | None:
    """Why a cell is not asked at all, in a line; None when it fits the context of ``context`` tokens."""
    needed = planned_tokens(scenario.length) + RESERVE
    if needed > task.max_context_len:
        return (
            f"{scenario.cell} needs a context of {needed} tokens, more than --gptoss-max-context-len "
            f"{task.max_context_len}: raise that, or waive this threshold"
        )
    if context is not None and needed > context:
        return (
            f"{scenario.cell} needs a context of {needed} tokens and {scenario.device} serves {context}: "
            f"serve with --max-model-len {needed} or more, or waive this threshold"
        )
    return None


class NeedleTrials:
    """Asks the trials of needle cells of one device, one at a time.

    Prompts are counted by ``/tokenize`` where the device has it, else by the usage of requests for one
    token. Each request has a cache salt of its own, so that its first token means a whole prefill.
    """

    def __init__(self, client: VllmClient, *, able: Capabilities, task: NeedleTask) -> None:
        self._client = client
        self._able = able
        self._task = task
        self._count = PromptCounter(client, able=able, sample=task.question)

    async def ask(self, scenario: Needle, trial: int) -> NeedleAnswer:
        """One trial; a request that ends in what the report tells apart is an answer with ``trouble``.

        Raises RequestError for every other failure.
        """
        code = code_of(self._task, trial)
        planned = planned_tokens(scenario.length)
        try:
            buried = await self._bury(scenario, trial, code)
            answer = await self._answer(buried, code, trial)
            slip = (answer.prompt_tokens or 0) - planned
            if self._count.frame is not None and 0 < abs(slip) <= SMALL_SLIP:
                self._count.frame += slip
                answer = await self._answer(await self._bury(scenario, trial, code), code, trial)
            _refuse_longer(answer)
        except RequestError as error:
            trouble = _trouble(error)
            if trouble is None:
                raise
            return NeedleAnswer(trial, code, planned, scenario.depth, trouble=trouble, message=str(error))
        return answer

    async def _bury(self, scenario: Needle, trial: int, code: str) -> Buried:
        return await bury(
            None if scenario.control else needle_with(self._task, code),
            self._task.question,
            depth=scenario.depth,
            tokens=planned_tokens(scenario.length),
            seed=seed_of(self._task, scenario, trial),
            count=self._count,
        )

    async def _answer(self, buried: Buried, code: str, trial: int) -> NeedleAnswer:
        before = await self._cache_hits()
        answer, first_token_ms = await self._client.chat_timed(
            user_prompt(buried.text), max_tokens=RESERVE, cache_salt=_salt()
        )
        after = await self._cache_hits()
        content = answer.content
        return NeedleAnswer(
            trial=trial,
            code=code,
            planned_tokens=buried.tokens,
            depth=buried.depth,
            prompt_tokens=answer.prompt_tokens,
            content=content,
            reasoning=answer.reasoning,
            finish_reason=answer.finish_reason,
            # A token is at least a byte: fewer bytes cannot have used up the answer's own room.
            cut=answer.finish_reason == "length" and len(content.encode()) < ANSWER_TOKENS,
            first_token_ms=first_token_ms,
            cached_tokens=None if before is None or after is None else after - before,
        )

    async def _cache_hits(self) -> int | None:
        """Tokens the server has taken from its prefix cache so far; None when it does not tell."""
        if not self._able.metrics:
            return None
        found = _HITS.findall(await self._client.metrics_text())
        return round(sum(float(value) for value in found)) if found else None


def _refuse_longer(answer: NeedleAnswer) -> None:
    if (answer.prompt_tokens or 0) > answer.planned_tokens:
        raise DialectError(
            f"the server counts {answer.prompt_tokens} tokens in a prompt made for {answer.planned_tokens}: "
            "its /tokenize and its chat disagree, or something adds to prompts on the way"
        )


def _salt() -> str:
    return secrets.token_hex(8)


def _trouble(error: RequestError) -> NeedleTrouble | None:
    if isinstance(error, RequestTimeout):
        return "timeout"
    if isinstance(error, StatusError):
        if error.status in (400, 413, 422):
            return "rejected"
        return "out_of_memory" if error.status >= 500 else None
    return "out_of_memory" if isinstance(error, ConnectError | StreamError) else None
