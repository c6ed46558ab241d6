"""Requests for a load level: prompts of exact lengths that share no beginning.

One prompt is fitted to its length by counting; the others are its sentences in another order behind
another number, which keeps the count under every tokenizer that splits text at spaces. Some are counted
beforehand; if one is off, each prompt is fitted by itself. Usage counts all of them when they are measured.
A trace's prompts have a length each, which only token ids give.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count as counting
from itertools import islice
from random import Random
from typing import TypeAlias

from pytest_gptoss.client.generation import chat_body, completion_body
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.client.load import LoadRequest
from pytest_gptoss.model.inputs import LoadShape, Message
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.paths import CHAT_PATH, COMPLETIONS_PATH
from pytest_gptoss.model.subjects import Capabilities
from pytest_gptoss.scenarios import prose
from pytest_gptoss.scenarios.needle_prompt import Count, bury
from pytest_gptoss.scenarios.prompt_counter import PromptCounter

__all__ = ["LoadPrompts", "chat_texts", "load_prompts", "prose_ids", "token_prompts"]

ASK = "Retell all of this in your own words, and take as long as you can."
COUNTED = 8
"""Prompts that are counted before the rest is trusted."""
LEAD_SENTENCES = 1
"""A beginning like ``417 208.`` reads as a sentence."""
NUMBERS = range(100, 1000)
"""Leading numbers: each is one token of o200k."""
ORDINARY = range(1000, 100_000)
"""Token ids of ordinary text in o200k, for the beginnings of token prompts."""
STRIDE = 7919
"""A prime that does not divide their number: multiples of it come by every one before any comes twice."""

Body: TypeAlias = "dict[str, Json]"


@dataclass(frozen=True, slots=True)
class LoadPrompts:
    """Request bodies without model and salt, each prompt of its own, and the tokens of the chat frame.

    ``lengths``: prompt and output tokens of each where they differ, None where all are alike.
    """

    bodies: tuple[Body, ...]
    path: str
    frame_tokens: int
    lengths: Sequence[tuple[int, int]] | None = None

    def requests(self, name: str, *, model: str | None, first: int, last: int) -> tuple[LoadRequest, ...]:
        """Requests for the bodies ``first`` to ``last - 1``; ids are ``name`` and a number, salts random."""
        return tuple(
            LoadRequest(
                f"{name}-{index:04d}",
                self.path,
                {**({} if model is None else {"model": model}), **body, "cache_salt": secrets.token_hex(8)},
                None if self.lengths is None else self.lengths[first + index],
            )
            for index, body in enumerate(self.bodies[first:last])
        )


async def load_prompts(
    client: VllmClient,
    shape: LoadShape,
    *,
    able: Capabilities,
    count: int,
    lengths: Sequence[tuple[int, int]] | None = None,
) -> LoadPrompts:
    """Make ``count`` prompts of a level, other ones at every call.

    ``lengths``: prompt and output tokens of each, of a level that sends token ids; None: all are the shape's.
    Raises DialectError when no prompt of that length can be made, and RequestError.
    """
    seed = secrets.randbits(48)
    if shape.endpoint == "completions":
        pool = await prose_ids(client, shape.prompt_tokens, able=able, seed=seed)
        asked = lengths or [(shape.prompt_tokens, shape.max_tokens)] * count
        prompts = token_prompts(pool, (tokens for tokens, _ in asked), seed=seed)
        bodies = tuple(_token_body(ids, most) for ids, (_, most) in zip(prompts, asked, strict=True))
        return LoadPrompts(bodies, COMPLETIONS_PATH, 0, lengths)
    counter = PromptCounter(client, able=able, sample=ASK)
    texts = await chat_texts(shape.prompt_tokens, count=count + 1, seed=seed, counter=counter)
    slip = await counter.used(texts[-1]) - shape.prompt_tokens
    if slip:
        counter.frame = (counter.frame or 0) + slip
        texts = await chat_texts(shape.prompt_tokens, count=count + 1, seed=seed, counter=counter)
    frame = await counter.used(ASK) if counter.frame is None else counter.frame
    return LoadPrompts(tuple(_chat_body(text, shape) for text in texts[:count]), CHAT_PATH, frame)


async def chat_texts(tokens: int, *, count: int, seed: int, counter: Count) -> list[str]:
    """``count`` user messages of exactly ``tokens`` prompt tokens by ``counter``, no two beginning alike.

    Raises DialectError when the counts do not lead to that length.
    """
    source = Random(seed)  # noqa: S311 - an order of sentences, no secret
    leads = _leads(source)
    fitted = await _fitted(next(leads), tokens, seed, counter)
    sentences = re.split(r"(?<=\.) ", fitted.removesuffix(f" {ASK}"))[LEAD_SENTENCES:]
    texts = [_text(next(leads), sentences, source) for _ in range(count)]
    if all([await counter(text) == tokens for text in texts[:COUNTED]]):
        return texts
    return [await _fitted(lead, tokens, seed + 1 + place, counter)
            for place, lead in enumerate(islice(leads, count))]  # fmt: skip


async def _fitted(lead: str, tokens: int, seed: int, counter: Count) -> str:
    """One message of the length behind ``lead``, by counting until it fits."""
    fitted = await bury(
        None, ASK, depth=0.0, tokens=tokens, seed=seed, count=lambda text: counter(f"{lead} {text}")
    )
    return f"{lead} {fitted.text}"


def token_prompts(pool: Sequence[int], lengths: Iterable[int], *, seed: int) -> Iterator[tuple[int, ...]]:
    """A prompt of each length in tokens: two ids that no other begins with, then some of the pool."""
    source = Random(seed)  # noqa: S311 - no secret
    numbers = counting(source.randrange(len(ORDINARY)))
    for number, tokens in zip(numbers, lengths):  # noqa: B905 - the numbers have no end
        lead = ORDINARY[number * STRIDE % len(ORDINARY)]
        start = source.randrange(len(pool))
        turned = (*pool[start : start + tokens], *pool[: max(0, start + tokens - len(pool))])
        yield (lead, source.choice(ORDINARY), *turned)[:tokens]


async def prose_ids(client: VllmClient, tokens: int, *, able: Capabilities, seed: int) -> tuple[int, ...]:
    """Ids of at least ``tokens`` tokens of prose; of ordinary words where the device does not tokenize."""
    if not able.tokenize:
        source = Random(seed)  # noqa: S311 - no secret
        return tuple(source.choice(ORDINARY) for _ in range(tokens))
    sentences = max(8, tokens // 4)
    ids: tuple[int, ...] = ()
    while len(ids) < tokens:
        ids = await client.tokenize(prose.text(seed, sentences))
        sentences *= 2
    return ids


def _leads(source: Random) -> Iterator[str]:
    """Beginnings like ``417 208.``: the first numbers differ until all have been used."""
    while True:
        for number in source.sample(NUMBERS, len(NUMBERS)):
            yield f"{number} {source.choice(NUMBERS)}."


def _text(lead: str, sentences: Sequence[str], source: Random) -> str:
    return " ".join([lead, *source.sample(sentences, len(sentences)), ASK])


def _chat_body(text: str, shape: LoadShape) -> Body:
    # ignore_eos would let the answer run past its end, which harmony's parser does not take.
    body = chat_body((Message("user", text),), max_tokens=shape.max_tokens, top=None)
    return {**body, "min_tokens": shape.max_tokens}


def _token_body(ids: Sequence[int], max_tokens: int) -> Body:
    body = completion_body(ids, max_tokens=max_tokens, top=None)
    del body["stop_token_ids"]
    return {**body, "ignore_eos": True}
