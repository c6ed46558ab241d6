"""Questions behind one long beginning, asked without the prefix cache and from it.

A request under a common cache salt fills the cache. Then every question is asked under a salt of its own,
which must find nothing there, and at last under the common salt. Behind what all prompts share each has
a whole block of its own at the same place, with a code that is asked for: a cache which mixes up prompts
serves another's.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.inputs import NeedleTask
from pytest_gptoss.model.results import StressAnswer
from pytest_gptoss.model.subjects import Device
from pytest_gptoss.scenarios.job import Alone
from pytest_gptoss.scenarios.kinds.prefix import (
    ANSWER_TOKENS,
    CACHED,
    COLD,
    OWN_TOKENS,
    QUESTIONS,
    SHARED_TOKENS,
)
from pytest_gptoss.scenarios.needle_prompt import code_of, needle_with
from pytest_gptoss.scenarios.quiet_scoring import Deadline
from pytest_gptoss.scenarios.server_counters import grown, read_counters
from pytest_gptoss.scenarios.stress_prompts import material
from pytest_gptoss.scenarios.told_answers import ToldAnswer, ToldScoring, why_too_long

__all__ = ["CachedPrefixRun", "cached_by", "prompts_that_begin_alike"]

PROMPT_TOKENS = SHARED_TOKENS + OWN_TOKENS
LOGPROBS = 2
"""The likeliest tokens that are asked for at each step, beside which its own log-probability comes."""


@dataclass
class CachedPrefixRun:
    """Asks and scores on one device; ``longest`` is the most tokens that may be scored at once."""

    device: Device
    longest: int
    alone: Alone
    scoring: ToldScoring = field(init=False)

    def __post_init__(self) -> None:
        self.scoring = ToldScoring(self.alone.on_end)

    @property
    def left_out(self) -> Mapping[str, str]:
        """Why nothing can be asked, or which answers were not scored."""
        too_long = why_too_long(
            "prompts",
            prompt=PROMPT_TOKENS,
            answer=ANSWER_TOKENS,
            context=self.device.max_model_len,
            longest=self.longest,
        )
        return too_long or self.scoring.left_out

    @property
    def items(self) -> tuple[StressAnswer, ...]:
        """What was scored so far."""
        return tuple(self.scoring.answers)

    def measure(self) -> None:
        """Ask and score; raises RequestError."""
        run_async(self._measure())

    async def _measure(self) -> None:
        deadline = Deadline()
        async with self.alone.make_client() as client:
            first, *prompts = await prompts_that_begin_alike(client, self.device)
            common = _salt()
            await self._ask(client, first, CACHED, common, len(prompts))
            told: list[ToldAnswer] = []
            for kind, salt in ((COLD, None), (CACHED, common)):
                for number, prompt in enumerate(prompts):
                    if deadline.is_over:
                        self.scoring.left_out[_name(kind, number)] = deadline.words
                        continue
                    told.append(await self._ask(client, prompt, kind, salt or _salt(), number))
                    self.alone.on_end()
            await self.scoring.score(client, told, deadline)

    async def _ask(
        self, client: VllmClient, prompt: tuple[int, ...], kind: str, salt: str, number: int
    ) -> ToldAnswer:
        """One answer, with the tokens of its prompt from the cache: by usage, else by the counters."""
        name, able = _name(kind, number), self.device.capabilities
        before = await read_counters(client) if able.metrics else None
        answer, cached = await client.complete_counted(
            prompt,
            prompt_id=name,
            max_tokens=ANSWER_TOKENS,
            top_logprobs=LOGPROBS if able.logprobs else None,
            cache_salt=salt,
        )
        if cached is None and before is not None:
            after = await read_counters(client)
            cached = None if after is None else cached_by(grown(before, after), prompt_tokens=len(prompt))
        return ToldAnswer(name, kind, prompt, answer, cached)


async def prompts_that_begin_alike(client: VllmClient, device: Device) -> tuple[tuple[int, ...], ...]:
    """One prompt more than there are questions: the first only fills the cache. Raises RequestError."""
    asked, able, task = QUESTIONS + 1, device.capabilities, NeedleTask()
    tokens = SHARED_TOKENS + asked * OWN_TOKENS
    found = await material(client, tokens=tokens, able=able, question=task.question)
    prompts = []
    for number in range(asked):
        code = f" {needle_with(task, code_of(task, number + 1))}"
        own = await client.tokenize(code) if able.tokenize else ()
        at = SHARED_TOKENS + number * OWN_TOKENS
        prompts.append(found.prompt(tokens=PROMPT_TOKENS, at=at, shared=SHARED_TOKENS, own=own))
    return tuple(prompts)


def cached_by(grown: Mapping[str, float], *, prompt_tokens: int) -> int | None:
    """Tokens that one prompt took from the cache, by the growth of the server's counters meanwhile.

    None where they do not tell, and where they counted more prompt tokens: then others use the server too.
    """
    if "prefix_cache_hits" not in grown or grown.get("prompt_tokens", 0) > prompt_tokens:
        return None
    return int(grown["prefix_cache_hits"] + grown.get("external_prefix_cache_hits", 0))


def _name(kind: str, number: int) -> str:
    return f"{kind}-{number:02d}"


def _salt() -> str:
    return secrets.token_hex(8)
