"""Which long sequences a device is asked for, and that the streams beside do decode meanwhile."""

import asyncio
import dataclasses

import pytest

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import Info, Settings
from pytest_gptoss.model.errors import DialectError, RequestTimeout
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import Capabilities, Device, KnownFact, ServerFacts
from pytest_gptoss.scenarios import corpus
from pytest_gptoss.scenarios.chunked import Scoring, sequences_for
from pytest_gptoss.scenarios.job import Setup
from pytest_gptoss.scenarios.kinds import Chunked
from pytest_gptoss.scenarios.long_texts import LongTexts
from pytest_gptoss.scenarios.quiet_scoring import Deadline

FACTS = ServerFacts("run", (), 0.0, ("m",), model="m")
SEQUENCE = TokenSequence("long-1", tuple(range(100, 200)))


def setup(told=None, *, context=131_072, profile=None, **given):
    """What scoring is set up with: a server that tells ``told`` as its chunk, and the options."""
    known = () if told is None else (KnownFact("max_num_batched_tokens", str(told), "/server_info"),)
    facts = Measurement("preflight-npu", "npu", (dataclasses.replace(FACTS, known=known),))
    device = Device("npu", "npu", None, "npu", "m", None, context, Capabilities())
    plan = make_plan(Settings(profile=profile, **given))
    return Setup(plan.workload, {"npu": device}, lambda _: facts)


def asked(*args, **given):
    found = sequences_for("npu", setup(*args, **given))
    return len(found.kept), len(found.left_out)


@pytest.mark.parametrize("told", [256, 2048])
def test_a_small_chunk_allows_long_sequences(told):
    assert asked(told) == (6, 0)
    assert Chunked("npu").size(setup(told)) == 6


@pytest.mark.parametrize("told", [None, 4096, "auto"])
def test_without_one_none_is_scored_and_the_limit_is_named(told):
    found = sequences_for("npu", setup(told))
    assert found.kept == ()
    assert found.left_out["long-1"] == "6400 tokens, more than the 2048 scored at once"


def test_the_user_may_state_the_chunk():
    assert asked(info=Info({"npu": {"max_num_batched_tokens": "2048"}})) == (6, 0)
    assert asked(info=Info({"gpu": {"max_num_batched_tokens": "2048"}})) == (0, 6)
    assert asked(8192, info=Info({"npu": {"max_num_batched_tokens": "2048"}})) == (0, 6)


def test_the_option_says_so_whatever_the_chunk_is():
    assert asked(8192, max_scored_tokens=8192) == (6, 0)
    assert asked(max_scored_tokens=7000) == (3, 3)
    assert asked(2048, max_scored_tokens=2048) == (0, 6)


def test_what_does_not_fit_the_context_is_left_out():
    found = sequences_for("npu", setup(2048, context=7000))
    assert (len(found.kept), found.left_out["long-6"]) == (2, "7900 tokens do not fit the context of 7000")


def test_the_embedded_pair_needs_no_leave():
    assert asked(profile="embedded") == (6, 0)


@pytest.mark.parametrize(("name", "chunk"), [("long-default", 2048), ("long-embedded", 512)])
def test_each_shipped_sequence_has_three_edges_with_their_windows(name, chunk):
    sequences = corpus.load_shipped(name).sequences
    assert len(sequences) == 6
    assert len({each.token_ids for each in sequences}) == 6
    for each in sequences:
        assert 3 * chunk + 128 <= len(each.token_ids) <= min(8000, 4 * chunk)


def test_the_ordinary_corpus_has_no_long_sequence():
    plan = make_plan(Settings())
    assert not {each.id for each in plan.workload.corpus} & {each.id for each in plan.workload.long.sequences}
    assert plan.workload.facts()["max_scored_tokens"] == 2048
    assert make_plan(Settings(max_scored_tokens=4096)).workload.facts()["max_scored_tokens"] == 4096


def test_a_stated_chunk_counts_after_the_server_s_own():
    long = LongTexts(stated={"npu": 1024})
    told = dataclasses.replace(FACTS, known=(KnownFact("max_num_batched_tokens", "512", "/server_info"),))
    assert (long.known_chunk("npu", told), long.known_chunk("npu", FACTS)) == (512, 1024)
    assert long.known_chunk("gpu", None) is None


class Server:
    """Notes how many streams decode while a sequence is scored; each ends after ``ends`` tokens."""

    def __init__(self, ends=None, fails=None):
        self.ends, self.fails = ends, fails
        self.decoding, self.seen, self.prompts = 0, [], []

    async def run_on(self, token_ids, *, max_tokens, arrived):
        self.prompts.append(token_ids)
        self.decoding += 1
        try:
            for number in range(1, (self.ends or max_tokens) + 1):
                await asyncio.sleep(0)
                if self.fails:
                    raise self.fails
                arrived(number)
        finally:
            self.decoding -= 1

    async def score(self, sequence, *, top):
        assert top == 1
        self.seen.append(self.decoding)
        await asyncio.sleep(0.001)
        self.seen.append(self.decoding)
        return sequence.id


def score(server, beside):
    return asyncio.run(Scoring(server, beside).score(SEQUENCE))


def test_alone_is_alone():
    server = Server()
    assert score(server, 0) == "long-1"
    assert (server.seen, server.prompts) == ([0, 0], [])


def test_beside_streams_decode_from_before_to_the_end_and_are_closed():
    server = Server(ends=10**9)
    assert score(server, 4) == "long-1"
    assert (server.seen, server.decoding) == ([4, 4], 0)
    assert len({prompt[0] for prompt in server.prompts}) == 4


def test_a_stream_that_ends_early_is_told():
    with pytest.raises(DialectError, match="ended before the prompt beside it was scored"):
        score(Server(ends=1), 2)


def test_a_stream_that_fails_says_how():
    server = Server(fails=DialectError("no event with a token came"))
    with pytest.raises(DialectError, match="no event with a token came"):
        score(server, 2)
    assert (server.seen, server.decoding) == ([], 0)


def test_nothing_is_scored_once_the_rows_time_is_over():
    scoring = Scoring(client=None, beside=0, deadline=Deadline(most_s=-1.0))
    with pytest.raises(RequestTimeout, match="no time was left"):
        asyncio.run(scoring.score(SEQUENCE))
