"""The storm: how many streams are left at once, when, and when the canaries are asked."""

import asyncio

import numpy as np
import pytest

from pytest_gptoss.model.errors import RequestError
from pytest_gptoss.model.results import Generation, ScoredSequence, TopLogprobs
from pytest_gptoss.model.subjects import Capabilities, Device
from pytest_gptoss.scenarios import abort_storm
from pytest_gptoss.scenarios.abort_storm import AbortStormRun, streams
from pytest_gptoss.scenarios.job import Alone
from pytest_gptoss.scenarios.kinds import AbortStorm
from pytest_gptoss.scenarios.quiet_scoring import Deadline
from pytest_gptoss.scenarios.stress_prompts import material

ABLE = Capabilities(tokenize=True)


def device(able=ABLE, *, context=None):
    return Device("npu", "npu", None, "npu", "m", None, context, able)


class Scripted:
    """A device whose streams bring a token at each turn of the loop, ``most`` at most."""

    def __init__(self, *, most=512, fails=None, said=(5, 6, 7)):
        self.most, self.fails, self.said = most, fails, said
        self.now = self.highest = self.left = 0
        self.left_when_asked, self.salts, self.scored = [], [], []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def tokenize(self, text):
        return tuple(1000 + number for number in range(len(text.split())))

    async def run_on(self, prompt, *, max_tokens, arrived):
        self.now += 1
        self.highest = max(self.highest, self.now)
        try:
            for count in range(1, min(self.most, max_tokens) + 1):
                await asyncio.sleep(0)
                arrived(count)
            if self.fails:
                raise self.fails
        except asyncio.CancelledError:
            self.left += 1
            raise
        finally:
            self.now -= 1

    async def complete(self, prompt, *, prompt_id, max_tokens, top_logprobs, cache_salt):
        self.left_when_asked.append(self.left)
        self.salts.append(cache_salt)
        await asyncio.sleep(0)
        return Generation(prompt_id, prompt, self.said, "", "", (), "length", len(prompt), 3)

    async def score(self, sequence, *, top):
        self.scored.append(sequence)
        count = len(sequence.token_ids) - sequence.first
        tops = TopLogprobs(np.full((count, 1), 5), np.full((count, 1), -0.1))
        return ScoredSequence(sequence.id, sequence.token_ids, sequence.first, np.full(count, -0.1), tops)


def run_of(client, *, on=None, longest=2048):
    steps = []
    return AbortStormRun(on or device(), longest, Alone(lambda: client, lambda: steps.append(1))), steps


def test_canaries_are_asked_when_half_of_a_wave_is_left():
    client = Scripted()
    run, steps = run_of(client)
    run.measure()
    assert (client.highest, client.left, run.left_out) == (16, 64, {})
    assert [each.kind for each in run.items] == ["before"] * 8 + ["canary"] * 40
    asked = [client.left_when_asked[first] for first in range(0, 48, 8)]
    assert asked[0] == 0
    assert all(16 * wave + 8 <= left < 16 * wave + 16 for wave, left in enumerate(asked[1:5]))
    assert asked[5] == 64
    assert len(set(client.salts)) == 48  # a canary never comes from the cache
    assert len(client.scored) == 8  # equal answers are scored once
    assert len(steps) == AbortStorm("npu").size(None)


def test_streams_that_end_by_themselves_are_told():
    run, _ = run_of(Scripted(most=3))
    run.measure()
    early = [each for each in streams(found(), context=None) if each.after > 3]
    assert sorted(run.left_out) == [each.name for each in early]
    assert set(run.left_out.values()) == {"the answer ended before it was left"}


def test_a_request_that_fails_ends_the_measurement():
    client = Scripted(most=3, fails=RequestError("gone"))
    run, _ = run_of(client)
    with pytest.raises(RequestError, match="gone"):
        run.measure()
    assert (run.items, client.now) == ((), 0)


def test_answers_without_tokens_are_left_out():
    run, _ = run_of(Scripted(said=None))
    run.measure()
    assert run.items == ()
    assert "did not tell its token ids" in run.left_out["canary-0-0"]


def test_what_no_time_is_left_for_is_left_out(monkeypatch):
    monkeypatch.setattr(abort_storm, "Deadline", lambda: Deadline(most_s=-1.0))
    client = Scripted()
    run, _ = run_of(client)
    run.measure()
    assert client.left == 0
    assert sum(name.startswith("stream-") for name in run.left_out) == 64


def test_what_cannot_be_scored_is_not_asked():
    run, _ = run_of(Scripted(), on=device(context=128))
    assert "do not fit the context of 128" in run.left_out["prompts"]
    assert AbortStorm("npu").context_needed(None) == 129


def found(able=ABLE):
    return asyncio.run(material(Scripted(), tokens=2000, able=able))


@pytest.mark.parametrize("able", [ABLE, Capabilities()])
def test_streams_differ_and_are_left_after_1_to_16_tokens(able):
    drawn = streams(found(able), context=300)
    assert len({each.prompt for each in drawn}) == 64
    assert {len(each.prompt) for each in drawn} == {96}
    assert {1, 16} <= {each.after for each in drawn} <= set(range(1, 17))
    assert {each.most for each in drawn} == {204}
    assert drawn == streams(found(able), context=300)
