"""An id is an identity: equal for equal records and for those only, and fit for a file name."""

import types
from dataclasses import fields
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_gptoss.scenarios.kinds import (
    AbortStorm,
    CachedPrefix,
    Chunked,
    Drift,
    Feature,
    Forced,
    Greedy,
    Hidden,
    Load,
    Needle,
    Preflight,
    Rendered,
)
from pytest_gptoss.scenarios.registry import device_of_id, is_id, kind_of_id, kinds

WORDS = ("npu", "gpu", "npu-tp2", "corpus", "precision", "first3", "ids", "ids-of", "of", "for", "greedy",
         "c1", "r0", "t0", "control", "d025", "32k", "1", "-", "--", "a~b", "a/b", "a:b", "甲",
         "x" * 200)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(WORDS),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map("-".join),
    st.text(max_size=4),
)
PLAIN = {
    str: TEXTS,
    int: st.integers(-1, 3) | st.sampled_from([1024, 4096, 32768]) | st.integers(),
    float: st.sampled_from([0, 0.0, -0.0, 0.25, 0.251, 1.0]) | st.floats(-1e6, 1e6),
    bool: st.booleans(),
    type(None): st.none(),
}


def values(hint):
    """Values of a field's type."""
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        return st.one_of(*map(values, get_args(hint)))
    return PLAIN[hint] if hint in PLAIN else records(hint)


def records(kind):
    """Records of a kind, drawn from its fields' types."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{each.name: values(hints[each.name]) for each in fields(kind)})


@pytest.mark.parametrize("kind", kinds().values(), ids=lambda kind: kind.__name__)
def test_ids_are_equal_where_records_are(kind):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(records(kind), min_size=2, max_size=8))
    def holds(drawn):
        assert len({each.id for each in drawn}) == len(set(drawn))
        for each in drawn:
            assert is_id(each.id)
            assert len(each.id.encode()) <= 180
            assert kind_of_id(each.id) is kind

    holds()


CELLS = [
    (Greedy("npu"), "greedy-npu-precision-c1-r0"),
    (Greedy("npu-tp2"), "greedy-npu-tp2-precision-c1-r0"),
    (Greedy("cpu", limit=8, concurrency=4), "greedy-cpu-precision-first8-c4-r0"),
    (Greedy("npu", prompt_ids_of="gpu", repeat=1), "greedy-npu-precision-ids-of-gpu-c1-r1"),
    (Rendered("npu"), "rendered-npu-precision"),
    (Rendered("npu-tp2", answers=Greedy("npu-tp2")), "rendered-npu-tp2-for-greedy-npu-tp2-precision-c1-r0"),
    (Forced("npu"), "forced-npu-of-corpus"),
    (Forced("cpu", "npu-tp2", 8, Greedy("npu-tp2")), "forced-cpu-of-npu-tp2-drawn8"),
    (Hidden("npu-tp2"), "hidden-npu-tp2"),
    (Needle("npu-tp2", 0.25, 32768, control=True), "needle-npu-tp2-d025-32k-control"),
    (Needle("npu", 0, 1000), "needle-npu-d000-1000"),
    (Drift("npu", 0, 1024), "drift-npu-0-1024"),
    (Chunked("npu-tp2", 4), "chunked-npu-tp2-beside4"),
    (Load("npu-tp2", "c04"), "load-npu-tp2-c04-t0"),
    (Load("npu-tp2", "c16-p4096", 2), "load-npu-tp2-c16-p4096-t2"),
    (Preflight("npu-tp2"), "preflight-npu-tp2"),
    (Feature("npu-tp2", "tools-auto"), "feature-npu-tp2-tools-auto"),
    (CachedPrefix("npu-tp2"), "prefix-npu-tp2"),
    (AbortStorm("npu-tp2"), "storm-npu-tp2"),
]  # fmt: skip


@pytest.mark.parametrize(("scenario", "expected"), CELLS)
def test_an_id_is_spelled_out_where_that_tells_all(scenario, expected):
    assert scenario.id == expected
    assert device_of_id(expected) == scenario.device


@pytest.mark.parametrize(
    ("scenario", "other"),
    [
        (Drift("npu", 0, 4096), Drift("npu", 1024, 4096)),
        (Chunked("npu"), Chunked("npu", 4)),
        (Forced("npu", "gpu", outputs=Greedy("gpu")), Forced("npu", "gpu", outputs=Greedy("gpu", "smoke"))),
        (Forced("npu", "gpu"), Forced("npu", "gpu", outputs=Greedy("gpu"))),
        (Greedy("a", "b-c"), Greedy("a-b", "c")),
        (Greedy("a", "p", limit=3), Greedy("a-p", "first3")),
        (Needle("npu", 0.25, 4096), Needle("npu", 0.251, 4096)),
        (Rendered("npu", "smoke", Greedy("npu")), Rendered("npu", "precision", Greedy("npu"))),
        (Load("npu", "c04-c16"), Load("npu-c04", "c16")),
        (Load("npu", "c16"), Load("npu", "c16-p4096")),
        (Greedy("npu", "a/b"), Greedy("npu", "a:b")),
        (Preflight("x" * 300), Preflight("x" * 301)),
    ],
)
def test_other_records_have_other_ids(scenario, other):
    assert scenario.id != other.id
