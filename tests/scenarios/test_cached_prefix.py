"""Questions behind one long beginning: what is asked in which order, and what is kept of it."""

import asyncio

import numpy as np
import pytest

from pytest_gptoss.model.errors import RequestError
from pytest_gptoss.model.results import Generation, ScoredSequence, TopLogprobs
from pytest_gptoss.model.subjects import Capabilities, Device
from pytest_gptoss.scenarios import cached_prefix, quiet_scoring
from pytest_gptoss.scenarios.cached_prefix import CachedPrefixRun, cached_by, prompts_that_begin_alike
from pytest_gptoss.scenarios.job import Alone
from pytest_gptoss.scenarios.kinds import CachedPrefix
from pytest_gptoss.scenarios.kinds.prefix import LEAST_CACHED, OWN_TOKENS, SHARED_TOKENS
from pytest_gptoss.scenarios.quiet_scoring import Deadline

ABLE = Capabilities(tokenize=True, metrics=True, logprobs=True)


def device(able=ABLE, *, context=None):
    return Device("npu", "npu", None, "npu", "m", None, context, able)


class Scripted:
    """A device with a prefix cache of whole prompts' beginnings, whose answers are ``said``."""

    def __init__(self, *, said=(5, 6, 7), details=True, counters=True):
        self.said, self.details, self.counters = said, details, counters
        self.salts, self.scored, self.hits, self.kept = [], [], 0, set()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def tokenize(self, text):
        return tuple(1000 + number % 500 for number in range(len(text.split())))

    async def metrics_text(self):
        if not self.counters:
            raise RequestError("no page")
        return f"vllm:prefix_cache_hits_total {self.hits}\nvllm:prompt_tokens_total 0\n"

    async def complete_counted(self, prompt, *, prompt_id, max_tokens, top_logprobs, cache_salt):
        found = SHARED_TOKENS if (cache_salt, prompt[:SHARED_TOKENS]) in self.kept else 0
        self.kept.add((cache_salt, prompt[:SHARED_TOKENS]))
        self.hits += found
        self.salts.append(cache_salt)
        logprobs = None if top_logprobs is None else np.full(len(self.said or ()), -0.1)
        answer = Generation(prompt_id, prompt, self.said, "", "", (), "length", len(prompt), 3, logprobs)
        return answer, found if self.details else None

    async def score(self, sequence, *, top):
        self.scored.append(sequence)
        count = len(sequence.token_ids) - sequence.first
        tops = TopLogprobs(np.full((count, 1), 5), np.full((count, 1), -0.1))
        return ScoredSequence(sequence.id, sequence.token_ids, sequence.first, np.full(count, -0.1), tops)


def run_of(client, *, on=None, longest=2048):
    steps = []
    run = CachedPrefixRun(on or device(), longest, Alone(lambda: client, lambda: steps.append(1)))
    return run, steps


@pytest.mark.parametrize("details", [True, False])
def test_each_question_is_asked_cold_and_then_from_the_cache(details):
    client = Scripted(details=details)
    run, steps = run_of(client)
    run.measure()
    cold, cached = run.items[:12], run.items[12:]
    assert [each.kind for each in run.items] == ["cold"] * 12 + ["cached"] * 12
    assert [each.cached_tokens for each in run.items] == [0] * 12 + [SHARED_TOKENS] * 12
    assert len(set(client.salts[1:13])) == 12  # the first request fills the cache
    assert set(client.salts[13:]) == {client.salts[0]}
    assert client.salts[0] not in client.salts[1:13]
    assert [each.token_ids for each in cold] == [each.token_ids for each in cached]
    assert len(client.scored) == 12  # equal answers are scored once
    assert all(len(each.generated) == 3 for each in run.items)
    assert len(steps) == CachedPrefix("npu").size(None)
    assert run.left_out == {}


def test_without_logprobs_none_are_asked_for():
    run, _ = run_of(Scripted(), on=device(Capabilities(tokenize=True, metrics=True)))
    run.measure()
    assert all(each.generated is None for each in run.items)


@pytest.mark.parametrize("able", [ABLE, Capabilities(tokenize=True)])
def test_without_counters_and_details_nothing_is_known_of_the_cache(able):
    run, _ = run_of(Scripted(details=False, counters=False), on=device(able))
    run.measure()
    assert {each.cached_tokens for each in run.items} == {None}


@pytest.mark.parametrize(("said", "why"), [(None, "did not tell its token ids"), ((), "the answer is empty")])
def test_answers_without_tokens_are_left_out(said, why):
    run, _ = run_of(Scripted(said=said))
    run.measure()
    assert run.items == ()
    assert len(run.left_out) == 24
    assert why in run.left_out["cached-00"]


@pytest.mark.parametrize(
    ("context", "longest", "why"),
    [(1344, 2048, "1344 tokens do not fit the context of 1344"), (None, 1343, "more than the 1343 scored")],
)
def test_what_cannot_be_scored_is_not_asked(context, longest, why):
    run, _ = run_of(Scripted(), on=device(context=context), longest=longest)
    assert why in run.left_out["prompts"]
    assert CachedPrefix("npu").context_needed(None) == 1345


def test_what_no_time_is_left_for_is_left_out(monkeypatch):
    monkeypatch.setattr(cached_prefix, "Deadline", lambda: Deadline(most_s=-1.0))
    client = Scripted()
    run, _ = run_of(client)
    run.measure()
    assert run.items == ()
    assert "no time was left" in run.left_out["cold-00"]
    assert len(client.salts) == 1


@pytest.mark.parametrize("tokenize", [True, False])
def test_prompts_begin_alike_and_end_in_blocks_of_their_own(tokenize):
    prompts = asyncio.run(prompts_that_begin_alike(Scripted(), device(Capabilities(tokenize=tokenize))))
    assert {len(each) for each in prompts} == {SHARED_TOKENS + OWN_TOKENS}
    assert len({each[:SHARED_TOKENS] for each in prompts}) == 1
    assert len({each[SHARED_TOKENS : SHARED_TOKENS + 128] for each in prompts}) == 13
    assert SHARED_TOKENS - 128 >= LEAST_CACHED


def test_counters_tell_what_came_from_the_cache():
    assert cached_by({"prefix_cache_hits": 16.0}, prompt_tokens=20) == 16
    outside = {"prefix_cache_hits": 0.0, "external_prefix_cache_hits": 128.0, "prompt_tokens": 20.0}
    assert cached_by(outside, prompt_tokens=20) == 128
    assert cached_by({"prompt_tokens": 20.0}, prompt_tokens=20) is None
    others = {"prefix_cache_hits": 16.0, "prompt_tokens": 25.0}
    assert cached_by(others, prompt_tokens=20) is None


def test_a_deadline_begins_when_it_is_made():
    assert not Deadline().is_over
    assert Deadline(most_s=-1.0).is_over
    assert quiet_scoring.MOST_S == 600.0
