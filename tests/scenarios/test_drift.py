"""Where drift is looked for: the same text in every scenario, in increasing order, whatever the language."""

import asyncio

import pytest

from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import DialectError, RequestTimeout
from pytest_gptoss.model.inputs import NeedleTask
from pytest_gptoss.model.subjects import Capabilities
from pytest_gptoss.scenarios import drift
from pytest_gptoss.scenarios.drift import DriftPoints, positions, why_not_asked
from pytest_gptoss.scenarios.kinds import Drift
from pytest_gptoss.scenarios.quiet_scoring import Deadline

ENGLISH = NeedleTask()
CHINESE = NeedleTask(needle="密码是7842。", question="密码是什么？")
LENGTHS = (256, 512, 1024, 2048, 4096, 32_768, 65_536, 98_304, 131_072)
ROLES = Roles("npu", "gpu", needle_lengths=LENGTHS)
ABLE = Capabilities(tokenize=True, token_prompts=True)


class Server:
    """Counts with a given vocabulary; a forced token's log-probability is minus its prefix's length."""

    def __init__(self, encode):
        self.encode = encode
        self.sent = []

    async def tokenize(self, text):
        return tuple(self.encode(text))

    async def force(self, prompt, token, *, top):
        self.sent.append((prompt, token, top))
        return -float(len(prompt))


def measured(encode, scenario, task=ENGLISH):
    async def ask():
        server = Server(encode)
        points = DriftPoints(server, task=task, length=scenario.length, top=20)
        return [await points.ask(*place) for place in positions(scenario)], server

    return asyncio.run(ask())


def test_spots_are_powers_of_two_with_sixteen_neighbours_each():
    found = positions(Drift("npu", 0, 256))
    assert found[:2] == ((32, 16), (32, 17))
    assert found[15:17] == ((32, 31), (64, 48))
    assert found[-1] == (256, 255)
    assert len(found) == 64
    assert list(found) == sorted(found)


def test_scenarios_of_neighbouring_lengths_share_nothing_and_lack_nothing():
    needs = metric_named("position_drift.128k").needs(ROLES)
    ours = [scenario for name, scenario in needs.items() if name.startswith("npu_")]
    assert [scenario.length for scenario in ours] == list(LENGTHS)
    found = [place for scenario in ours for place in positions(scenario)]
    assert tuple(found) == positions(Drift("npu", 0, 131_072))
    shorter = metric_named("position_drift.1k").needs(ROLES)
    assert set(shorter.items()) < set(needs.items())


def test_nothing_is_asked_for_when_the_time_is_over(harmony, monkeypatch):
    monkeypatch.setattr(drift, "Deadline", lambda: Deadline(most_s=-1.0))
    server = Server(harmony.encode)
    points = DriftPoints(server, task=ENGLISH, length=256, top=20)
    with pytest.raises(RequestTimeout, match="no time was left"):
        asyncio.run(points.ask(32, 16))
    assert server.sent == []


@pytest.mark.parametrize("task", [ENGLISH, CHINESE])
def test_every_scenario_asks_about_one_text(harmony, task):
    points, server = measured(harmony.encode, Drift("npu", 256, 512), task)
    longer, _ = measured(harmony.encode, Drift("npu", 0, 4096), task)
    known = {point.position: point for point in longer}
    assert [known[point.position] for point in points] == points
    assert [(len(prefix), token) for prefix, token, _ in server.sent] == [
        (point.position, point.token) for point in points
    ]
    assert points[0].logprob == -float(points[0].position)
    assert len({point.text_sha256 for point in longer}) == len(longer)
    text = harmony.decode(list(server.sent[-1][0]))
    assert ("。" in text) == (task is CHINESE)


def test_another_seed_is_another_text(harmony):
    ours, _ = measured(harmony.encode, Drift("npu", 0, 256))
    theirs, _ = measured(harmony.encode, Drift("npu", 0, 256), NeedleTask(seed=1))
    assert ours[-1].text_sha256 != theirs[-1].text_sha256


def test_a_tokenizer_that_cuts_texts_short_is_told(harmony):
    with pytest.raises(DialectError, match="400 tokens came of a text made for more than 512"):
        measured(lambda text: harmony.encode(text)[:400], Drift("npu", 256, 512))


@pytest.mark.parametrize(
    ("spot", "fields", "reason"),
    [
        (4096, {}, None),
        (8192, {}, "8192 tokens do not fit the context of 4096"),
        (4096, {"task": NeedleTask(max_context_len=2048)}, "4096 tokens do not fit the context of 2048"),
        (16, {"able": Capabilities(token_prompts=True)}, "gpu lacks tokenize, which position drift needs"),
        (16, {"able": Capabilities()}, "gpu lacks tokenize and token prompts, which position drift needs"),
    ],
)
def test_what_cannot_be_asked_says_why(spot, fields, reason):
    known = {"device": "gpu", "able": ABLE, "task": ENGLISH, "context": 4096, **fields}
    assert why_not_asked(spot, **known) == reason
