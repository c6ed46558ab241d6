"""Which answers of a load level are given back to the device, and when that ends."""

import asyncio

import numpy as np
import pytest

from pytest_gptoss.model.inputs import LoadShape, TokenSequence
from pytest_gptoss.model.results import Failure, LoadLevel, RequestTiming, ScoredSequence, TopLogprobs
from pytest_gptoss.scenarios.audit import AuditRun, answers_of, drawn
from pytest_gptoss.scenarios.kinds import Audit
from pytest_gptoss.scenarios.quiet_scoring import QuietScoring
from pytest_gptoss.scenarios.registry import kind_of_id

STOP = 200_002


def request(name, prompt=(1, 2), output=(3, 4, 5), **fields):
    return RequestTiming(name, 1, 2, (3,), (3,), None, 4, prompt_ids=prompt, output_ids=output, **fields)


class Scorer:
    """Scores every token as the likeliest; the model would end an answer at its token 9."""

    def __init__(self):
        self.asked = []

    async def score(self, sequence, *, top):
        assert top == 2
        self.asked.append(sequence.id)
        answer = np.array(sequence.token_ids[sequence.first :])
        best = np.where(answer == 9, STOP, answer).astype(np.int32).reshape(-1, 1)
        logprobs = np.full(len(answer), -0.1)
        return ScoredSequence(
            sequence.id, sequence.token_ids, sequence.first, logprobs,
            TopLogprobs(best, logprobs.astype(np.float32).reshape(-1, 1)),
        )  # fmt: skip


def sequences(*answers):
    return [TokenSequence(f"a{place}", (1, *each), first=1) for place, each in enumerate(answers)]


LONG, SHORT = (7,) * 8, (7, 9, *(7,) * 8)


def test_an_answer_is_scored_behind_its_own_prompt():
    level = LoadLevel(LoadShape(1, 2, 2, 3), (request("r0"), request("r1", output=(6, 7, 8))))
    assert [sequence for _, sequence in answers_of(level, "c01")] == [
        TokenSequence("c01-0000", (1, 2, 3, 4, 5), first=2),
        TokenSequence("c01-0001", (1, 2, 6, 7, 8), first=2),
    ]


def test_what_cannot_be_scored_says_why():
    requests = (
        request("r0", error=Failure("r0", "timeout", "no first token within 60 s")),
        request("r1", prompt=None),
        request("r2", output=None),
        request("r3", output=()),
    )
    level = LoadLevel(LoadShape(4, 4, 2, 3), requests)
    assert [why for _, why in answers_of(level, "c04")] == [
        "no first token within 60 s",
        "the server did not tell its token ids",
        "the server did not tell its token ids",
        "the answer is empty",
    ]


def test_the_draw_is_the_same_every_time_and_by_level():
    answers = [(f"a{place}", "why") for place in range(30)]
    assert drawn(answers, seed="c16") == drawn(answers, seed="c16")
    assert drawn(answers, seed="c16") != drawn(answers, seed="c08")
    assert sorted(drawn(answers, seed="c16")) == sorted(answers)


def test_so_many_are_scored_as_are_wanted():
    scorer, ended = Scorer(), []
    scoring = QuietScoring(2, lambda: ended.append(1))
    asyncio.run(scoring.score(scorer, sequences(LONG, LONG, LONG)))
    assert scorer.asked == ["a0", "a1"]
    assert (len(scoring.answers), len(ended)) == (2, 2)


def test_another_is_drawn_for_one_that_says_too_little():
    scorer = Scorer()
    scoring = QuietScoring(2, lambda: None)
    asyncio.run(scoring.score(scorer, sequences(LONG, SHORT, SHORT, LONG, LONG)))
    assert scorer.asked == ["a0", "a1", "a2", "a3"]


def test_all_are_scored_where_all_are_wanted():
    scorer = Scorer()
    asyncio.run(QuietScoring(None, lambda: None).score(scorer, sequences(LONG, SHORT, LONG)))
    assert scorer.asked == ["a0", "a1", "a2"]


def test_time_that_runs_out_is_told():
    scoring = QuietScoring(2, lambda: None, most_s=-1)
    asyncio.run(scoring.score(Scorer(), sequences(LONG, LONG)))
    assert scoring.answers == []
    assert set(scoring.left_out) == {"a0", "a1"}
    assert "no time was left" in scoring.left_out["a0"]


@pytest.mark.parametrize("limit", [64, None])
def test_an_audit_has_a_name_of_its_own(limit):
    scenario = Audit("npu", "c16-p4096", limit)
    assert scenario.id == f"audit-npu-c16-p4096-{'all' if limit is None else 'drawn64'}"
    assert kind_of_id(scenario.id) is Audit
    assert Audit.named(scenario.name) == scenario


def test_the_draw_counts_answers_that_could_not_be_scored():
    """Of three answers one failed; of a draw of two none is missing, of all one is."""
    unasked = {"c01-0001": "no first token within 60 s"}

    def run(wanted):
        scoring = QuietScoring(wanted, lambda: None)
        asyncio.run(scoring.score(Scorer(), sequences(LONG, LONG)))
        return AuditRun((), unasked, scoring, alone=None)

    for wanted, missing in ((2, {}), (3, unasked), (64, unasked), (None, unasked)):
        audited = run(wanted)
        audited.sequences = sequences(LONG, LONG)
        assert audited.left_out == missing
        assert len(audited.items) == 2
