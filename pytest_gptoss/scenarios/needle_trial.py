"""One trial of a needle cell on one device: the prompt fitted by the device's own count, then asked."""

from __future__ import annotations

import secrets

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.client.metrics_page import totals
from pytest_gptoss.model.errors import (
    ConnectError,
    DialectError,
    MiscountError,
    RequestError,
    RequestTimeout,
    StatusError,
)
from pytest_gptoss.model.harmony import harmony_messages
from pytest_gptoss.model.inputs import NeedleTask
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation, NeedleAnswer, NeedleTrouble
from pytest_gptoss.model.subjects import Capabilities
from pytest_gptoss.scenarios.kinds import Needle
from pytest_gptoss.scenarios.needle_prompt import (
    ANSWER_TOKENS,
    RESERVE,
    Buried,
    bury,
    code_of,
    needle_with,
    planned_tokens,
    seed_of,
)
from pytest_gptoss.scenarios.prompt_counter import PromptCounter, user_prompt

__all__ = ["NeedleTrials", "final_tokens", "trouble_of", "why_left_out"]

SMALL_SLIP = 16
"""By so many tokens ``/tokenize`` may miss the chat's count before the prompt is built anew."""

_LOST: frozenset[NeedleTrouble] = frozenset({"timeout", "out_of_memory"})
"""Troubles after which a cell's further trials are not asked: each would cost another long wait."""

_HITS = ("vllm:prefix_cache_hits_total", "vllm:prefix_cache_hits")


def why_left_out(scenario: Needle, task: NeedleTask, *, context: int | None) -> str | None:
    """Why a cell is not asked at all, in a line; None when it fits the context of ``context`` tokens."""
    needed = planned_tokens(scenario.length) + RESERVE
    if needed > task.max_context_len:
        return say(
            "{cell} needs a context of {needed} tokens, more than --gptoss-max-context-len "
            "{max_context_len}: raise that, or waive this threshold",
            cell=scenario.cell,
            needed=needed,
            max_context_len=task.max_context_len,
        )
    if context is not None and needed > context:
        return say(
            "{cell} needs a context of {needed} tokens and {device} serves {context}: serve "
            "with --max-model-len {needed} or more, or waive this threshold",
            cell=scenario.cell,
            needed=needed,
            device=scenario.device,
            context=context,
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
        self._lost: NeedleAnswer | None = None

    async def ask(self, scenario: Needle, trial: int) -> NeedleAnswer:
        """One trial; a request that ends in what the report tells apart is an answer with ``trouble``.

        Raises RequestError for every other failure.
        """
        code = code_of(self._task, trial)
        planned = planned_tokens(scenario.length)
        if self._lost is not None:
            message = say(
                "not asked after trial {trial}: {message}", trial=self._lost.trial, message=self._lost.message
            )
            trouble = self._lost.trouble
            return NeedleAnswer(trial, code, planned, scenario.depth, trouble=trouble, message=message)
        try:
            buried = await self._bury(scenario, trial, code)
            answer = await self._answer(buried, code, trial)
            slip = (answer.prompt_tokens or 0) - planned
            if self._count.frame is not None and 0 < abs(slip) <= SMALL_SLIP:
                self._count.frame += slip
                answer = await self._answer(await self._bury(scenario, trial, code), code, trial)
            _refuse_longer(answer)
        except RequestError as error:
            trouble = trouble_of(error, by_usage=not self._able.tokenize)
            if trouble is None:
                raise
            answer = NeedleAnswer(trial, code, planned, scenario.depth, trouble=trouble, message=str(error))
            if trouble in _LOST:
                self._lost = answer
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
        return NeedleAnswer(
            trial=trial,
            code=code,
            planned_tokens=buried.tokens,
            depth=buried.depth,
            prompt_tokens=answer.prompt_tokens,
            content=answer.content,
            reasoning=answer.reasoning,
            finish_reason=answer.finish_reason,
            cut=answer.finish_reason == "length" and final_tokens(answer) < ANSWER_TOKENS,
            first_token_ms=first_token_ms,
            cached_tokens=None if before is None or after is None else after - before,
            token_ids=answer.token_ids,
        )

    async def _cache_hits(self) -> int | None:
        """Tokens the server has taken from its prefix cache so far; None when it does not tell.

        An answer is worth more than this count: a failing ``/metrics`` is no trouble of the trial.
        """
        if not self._able.metrics:
            return None
        try:
            told = totals(await self._client.metrics_text())
        except RequestError:
            return None
        return next((round(told[name]) for name in _HITS if name in told), None)


def _refuse_longer(answer: NeedleAnswer) -> None:
    if (answer.prompt_tokens or 0) > answer.planned_tokens:
        raise DialectError(
            say(
                "the server counts {prompt_tokens} tokens in a prompt made for {planned_tokens}: "
                "its /tokenize and its chat disagree, or something adds to prompts on the way",
                prompt_tokens=answer.prompt_tokens,
                planned_tokens=answer.planned_tokens,
            )
        )


def _salt() -> str:
    return secrets.token_hex(8)


def final_tokens(answer: Generation) -> int:
    """Tokens of the final channel so far; where ids do not tell, at most: a token is at least a byte."""
    messages = harmony_messages(answer.token_ids or ())
    if not messages:
        return len(answer.content.encode())
    return next((len(each.body) for each in reversed(messages) if each.visible), 0)


def trouble_of(error: RequestError, *, by_usage: bool) -> NeedleTrouble | None:
    """What the report tells apart; None for any other failure, which its own words explain.

    ``by_usage``: prompts are counted as the server got them, so a miscount is a prompt that was cut.
    """
    status = error.status if isinstance(error, StatusError) else None
    if isinstance(error, RequestTimeout) or status in (408, 504):
        return "timeout"
    if error.cause == "context":
        return "rejected"
    if error.cause == "died" or isinstance(error, ConnectError) or status in (502, 503):
        return "out_of_memory"
    return "truncated" if isinstance(error, MiscountError) and by_usage else None
