"""Engines on the tiny model, what they say to requests, and what a quiet one thinks of it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager

from plain_transformers import tiny

from pytest_gptoss.reference import defects
from pytest_gptoss.reference.engine import Engine
from pytest_gptoss.reference.forward import Forward
from pytest_gptoss.reference.generation import GenerationRequest
from pytest_gptoss.reference.limits import Limits
from pytest_gptoss.reference.prefix_cache import PrefixCache

FORGIVEN = 0.5
"""Nats by which a chosen token may fall short of the best one without counting."""


@contextmanager
def running(defect=None, *, prefixes=False, **limits):
    """An engine in float32, with a defect if one is named."""
    faults = defects.faults_of(defect)
    engine = Engine(
        Forward(tiny(), faults),
        max_model_len=131_072,
        limits=Limits(**limits),
        threads=1,
        prefix_cache=PrefixCache(2**26, stale_from=faults.stale_from) if prefixes else None,
    )
    try:
        yield engine
    finally:
        engine.close()


def greedy(prompt, max_tokens, **wishes):
    return GenerationRequest(prompt=tuple(prompt), max_tokens=max_tokens, temperature=0.0, **wishes)


async def said(engine, request):
    return [token.token_id async for token in engine.submit(request)]


def together(engine, requests):
    """Token ids of each answer, all asked for at once."""

    async def ask():
        return await asyncio.gather(*[said(engine, request) for request in requests])

    return asyncio.run(ask())


def scores(engine, ids):
    """Log-probabilities of ids as a prompt; the first has none."""

    async def ask():
        stream = engine.submit(greedy(ids, 0, prompt_logprobs=1))
        async for _ in stream:
            pass
        return stream.prompt_logprobs

    return asyncio.run(ask())


def logprobs(engine, ids):
    """The log-probability of each id but the first."""
    return [record.logprob for record in scores(engine, ids)[1:]]


def shortfall(engine, prompt, answer):
    """Nats by which an answer's tokens fall short of the best ones, beyond what is forgiven."""
    records = scores(engine, [*prompt, *answer])[len(prompt) :]
    return sum(max(0.0, record.top[0][1] - record.logprob - FORGIVEN) for record in records)
