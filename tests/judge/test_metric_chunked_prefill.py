"""A fault at chunk edges is the figure, rounding is not; what cannot be judged says why."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import failure, measurement, top

from pytest_gptoss.judge.conditions import GPU
from pytest_gptoss.judge.metrics.chunked_prefill import BEHIND, BESIDE, REACH, chunked_prefill
from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.judge.verdicts import judge
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.results import ScoredSequence
from pytest_gptoss.model.subjects import KnownFact, ServerFacts
from pytest_gptoss.scenarios.kinds import Chunked, Preflight

CHUNK, SIZE, COUNT = 512, 1672, 6
SERVER = ServerFacts(
    "run", (), 0.0, ("m",), model="m", known=(KnownFact("max_num_batched_tokens", "512", "/server_info"),)
)
TOP = top(*[{1: -0.1}] * (SIZE - 1))


def scores(device, change=lambda position: 0.0, *, seed=0, noise=0.0, count=COUNT, **fields):
    """``count`` sequences; ``change`` is added to the log-probability of the token at each position."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(99)
    items = []
    for number in range(count):
        logprobs = -base.exponential(2.0, SIZE - 1) - 1
        logprobs += np.array([change(position) for position in range(1, SIZE)])
        items.append(
            ScoredSequence(
                f"long-{number}", tuple(range(SIZE)), 1, logprobs + rng.normal(0, noise, SIZE - 1), TOP
            )
        )
    return measurement(device, items, provenance={"chunk_tokens": 2048}, **fields)


def judged(alone=None, beside=None, gpu=None, *, server=SERVER, stated=None):
    return chunked_prefill(
        server=measurement("npu", [server]),
        alone=alone or scores("npu"),
        beside=beside or scores("npu"),
        gpu=gpu or scores("gpu"),
        stated=stated or {},
    )


def half_window(chunk, size=2.0):
    """The first token of a chunk sees half its window: what it predicts is off, the next ones a little."""
    return lambda position: -size * {1: 1.0, 2: 0.1}.get(position % chunk, 0.0) * (position > chunk)


def test_a_fault_behind_the_edges_is_the_figure():
    result = judged(alone=scores("npu", half_window(CHUNK)))
    assert result.value == pytest.approx(2.0 * 1.1 / BEHIND)
    assert (result.unit, result.n) == ("nat", 18)
    assert result.details["scored_alone"] == {
        "edges": 18, "behind": pytest.approx(0.55), "elsewhere": 0.0, "difference": pytest.approx(0.55),
    }  # fmt: skip
    assert result.details["scored_beside"]["difference"] == 0.0
    verdict = judge(load_profile("embedded").thresholds["stress.chunked_prefill"], "npu", result)
    assert verdict.status == "FAIL"
    assert (result.details["chunk"], result.details["chunk_source"]) == (512, "/server_info")
    assert result.details["finding"] == (
        "npu from gpu behind chunk edges: 0.55 nat more than elsewhere alone, 0 beside 4 streams (18 edges, "
        "chunks of 512 tokens)"
    )


def test_beside_streams_a_chunk_is_shorter_by_as_many_tokens():
    result = judged(beside=scores("npu", half_window(CHUNK - BESIDE)))
    assert result.value == pytest.approx(0.55)
    assert result.details["scored_alone"]["difference"] == 0.0


def test_the_first_position_of_a_chunk_predicts_the_next_token():
    """What stands at the edge was predicted in the chunk before: it counts as elsewhere."""
    at_edge = judged(alone=scores("npu", lambda position: -4.0 * (position in (512, 1024, 1536))))
    assert at_edge.value == 0.0
    assert at_edge.details["scored_alone"]["difference"] == pytest.approx(-4.0 / (2 * REACH - BEHIND))
    last = judged(alone=scores("npu", lambda position: -4.0 * (position % CHUNK == BEHIND)))
    assert last.value > 0.9


def test_far_from_the_edges_nothing_is_looked_at():
    far = {CHUNK - REACH, CHUNK + REACH + 1}
    assert judged(alone=scores("npu", lambda position: -9.0 * (position in far))).value == 0.0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.12))
def test_two_sound_devices_keep_the_limit(seed, noise):
    """bfloat16 on both sides: the same rounding behind edges as elsewhere, far more of it than is seen."""
    npu = scores("npu", seed=seed, noise=noise)
    assert judged(npu, npu, scores("gpu", seed=seed + 1, noise=noise)).value <= 0.1


def test_the_interval_is_over_edges_and_tells_a_fault_from_rounding():
    faulty = scores("npu", half_window(CHUNK), seed=1, noise=0.05)
    low, high = judged(alone=faulty, beside=scores("npu", seed=2, noise=0.05)).interval
    assert 0.1 < low < 0.55 < high + 0.05


@pytest.mark.parametrize(
    ("known", "stated", "chunk", "source"),
    [
        (True, {"npu": {"max_num_batched_tokens": "256"}}, 512, "/server_info"),
        (False, {"npu": {"max_num_batched_tokens": "256"}}, 256, "--gptoss-info"),
    ],
)
def test_the_server_s_word_counts_before_the_user_s(known, stated, chunk, source):
    server = SERVER if known else dataclasses.replace(SERVER, known=())
    details = judged(server=server, stated=stated).details
    assert (details["chunk"], details["chunk_source"]) == (chunk, source)


def test_the_profile_says_the_chunk_of_a_server_that_tells_none():
    alone = dataclasses.replace(scores("npu"), provenance={"chunk_tokens": 500})
    details = judged(alone, server=dataclasses.replace(SERVER, known=())).details
    assert (details["chunk"], details["chunk_source"]) == (500, "assumed")


def test_too_few_edges_say_why_and_how():
    few = scores("npu", count=5, left_out={"long-5": "8000 tokens, more than the 2048 scored at once"})
    with pytest.raises(InsufficientData) as told:
        judged(few, few, scores("gpu", count=5))
    assert str(told.value).startswith(
        "15 edges of chunks of 512 tokens lie in the scored prompts, 16 is the least (npu: 8000 tokens, more "
        "than the 2048 scored at once): serve with --max-num-batched-tokens 2048"
    )


def test_a_device_that_scored_none_says_why_and_how():
    none = measurement("gpu", (), left_out={"long-1": "6400 tokens, more than the 2048 scored at once"})
    with pytest.raises(
        InsufficientData, match=r"0 edges .*gpu: 6400 tokens, .*--gptoss-max-scored-tokens 8192"
    ):
        judged(gpu=none)


def test_a_chunk_longer_than_the_prompts_or_absurdly_short_has_no_edges():
    for chunk in ("8192", "1", "4"):
        server = dataclasses.replace(
            SERVER, known=(KnownFact("max_num_batched_tokens", chunk, "/server_info"),)
        )
        with pytest.raises(InsufficientData, match="0 edges"):
            judged(server=server)


def test_a_failed_request_is_no_figure():
    with pytest.raises(InsufficientData, match="no token within 60 s"):
        judged(beside=scores("npu", failures=(failure("long-7"),)))


def test_other_tokens_are_not_compared():
    gpu = scores("gpu")
    changed = tuple(dataclasses.replace(each, token_ids=(7, *each.token_ids[1:])) for each in gpu.items)
    with pytest.raises(InsufficientData, match="different tokens"):
        judged(gpu=dataclasses.replace(gpu, items=changed))


def test_what_is_measured():
    metric = metric_named("chunked_prefill")
    assert metric.needs(Roles("npu", "gpu")) == {
        "server": Preflight("npu"), "gpu": Chunked("gpu"),
        "alone": Chunked("npu"), "beside": Chunked("npu", 4),
    }  # fmt: skip
    assert metric.condition is GPU
