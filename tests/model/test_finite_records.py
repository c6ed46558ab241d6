"""Every number that is stored or written is finite or absent, whatever record it stands in."""

import dataclasses
import json
import typing
import zipfile
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_gptoss.model.atomic_files import write_json
from pytest_gptoss.model.capacity import CapacityProbe
from pytest_gptoss.model.finite import finite
from pytest_gptoss.model.results import (
    AbortTrace,
    BadRequest,
    DriftPoint,
    Failure,
    Generation,
    HiddenStates,
    LoadLevel,
    Measurement,
    NeedleAnswer,
    RecoveredStates,
    RequestTiming,
    ScoredSequence,
    StateFit,
    StressAnswer,
    TopLogprobs,
)
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Threshold, Verdict
from pytest_gptoss.report.document import acceptance_document, verdict_row
from pytest_gptoss.run.baseline import record_baseline
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.registry import item_classes

FLOATS = st.one_of(st.sampled_from([float("nan"), float("inf"), -float("inf"), 1.8e308 * 1e-1]), st.floats())
COUNTS = st.integers(0, 2**31 - 1)
TEXT = st.text(max_size=4)
STAMPS = st.lists(st.integers(0, 2**62), max_size=3).map(tuple)
JSON = st.recursive(
    FLOATS | TEXT | COUNTS, lambda inner: st.dictionaries(TEXT, inner, max_size=3), max_leaves=4
)


def of_type(hint):
    """Values of a field's type, its floats any that there are."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if arguments[-1] is ...:
            return st.lists(of_type(arguments[0]), max_size=3).map(tuple)
        return st.tuples(*map(of_type, arguments))
    if origin is Mapping:
        return st.dictionaries(TEXT, of_type(arguments[1]), max_size=3)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if arguments and (origin is typing.Union or type(None) in arguments):
        return st.one_of(*map(of_type, arguments))
    if dataclasses.is_dataclass(hint):
        return built(hint)
    plain = {float: FLOATS, int: COUNTS, str: TEXT, bool: st.booleans(), type(None): st.none()}
    return JSON if hint is typing.Any else plain[hint]


def built(kind, **fields):
    hints = typing.get_type_hints(kind)
    return st.builds(
        kind, **{name: fields[name] if name in fields else of_type(hint) for name, hint in hints.items()}
    )


@st.composite
def per_token(draw, kind):
    """A record with arrays, as the client reads it: measured numbers, and padding where there are fewer."""
    tokens, width = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    logprobs = np.array(draw(st.lists(st.floats(-9998, 0), min_size=tokens, max_size=tokens)))
    ids = np.full((tokens, width), -1, np.int32)
    top = TopLogprobs(ids, np.where(ids < 0, -np.inf, 0).astype(np.float32))
    states = np.array(draw(st.lists(st.floats(-1e9, 1e9), min_size=tokens, max_size=tokens)), np.float32)
    arrays = {"logprobs": logprobs, "generated": None, "top": top, "states": states.reshape(-1, 1)}
    hints = typing.get_type_hints(kind)
    return draw(built(kind, **{name: st.just(value) for name, value in arrays.items() if name in hints}))


@st.composite
def recovered(draw):
    """Recovered states at one or two positions of a text of four tokens."""
    fits = tuple(
        draw(built(StateFit, position=st.just(place))) for place in draw(st.sampled_from([(0,), (1, 3)]))
    )
    return RecoveredStates("a", (1, 2, 3, 4), np.ones((len(fits), 3), np.float32), fits)


LEVELS = built(LoadLevel, requests=st.lists(built(RequestTiming, token_ns=STAMPS), max_size=2).map(
    lambda requests: tuple(dataclasses.replace(each, tokens=(1,) * len(each.token_ns)) for each in requests)
))  # fmt: skip
ITEMS = {
    Generation: per_token(Generation),
    ScoredSequence: per_token(ScoredSequence),
    StressAnswer: per_token(StressAnswer),
    HiddenStates: per_token(HiddenStates),
    RecoveredStates: recovered(),
    LoadLevel: LEVELS,
    CapacityProbe: built(CapacityProbe, kept=st.just(0), failed=st.just(0)),
    **{
        kind: built(kind)
        for kind in (
            NeedleAnswer, DriftPoint, ServerFacts, AbortTrace,
            BadRequest,
        )
    },
}  # fmt: skip


def strict(path):
    """A file's JSON; fails for what JSON has no word for."""

    def refuse(word):
        raise AssertionError(f"{path.name} holds {word}")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("gptoss") / "run")
    store.begin()
    return store


def test_every_class_of_items_that_the_store_knows_is_tried():
    assert {kind.__name__ for kind in ITEMS} == set(item_classes())


MANY = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("kind", ITEMS, ids=lambda kind: kind.__name__)
@MANY
@given(data=st.data())
def test_what_is_stored_is_finite_or_absent(store, kind, data):
    items = data.draw(st.lists(ITEMS[kind], min_size=1, max_size=2))
    failures = (Failure("a", "timeout", "late"),)
    provenance = data.draw(st.dictionaries(TEXT, JSON, max_size=2))
    store.save(Measurement("s", "npu", tuple(items), failures, provenance=provenance))
    strict(store.directory / "measurements" / "s.json")
    for path in store.files("s")[1:]:
        array = np.load(path)
        assert np.isfinite(array).all() or path.name == "s.top_logprobs.npy"


@MANY
@given(level=LEVELS, value=FLOATS)
def test_a_counter_that_is_none_is_not_kept(store, level, value):
    level = dataclasses.replace(level, server={"requests": 1.0, "ttft_seconds": value})
    store.save(Measurement("level", "npu", (level,)))
    (kept,) = strict(store.directory / "measurements" / "level.json")["items"]
    expected = {"requests": 1.0, "ttft_seconds": value} if np.isfinite(value) else {"requests": 1.0}
    assert kept["server"] == expected


THRESHOLD = Threshold("a.b", "a", "b", "value", "<=", 1.0, "nat", "contract", "guide")


@MANY
@given(data=st.data())
def test_what_is_written_of_a_verdict_is_finite_or_absent(store, data):
    verdict = data.draw(
        built(Verdict, threshold=st.just(THRESHOLD), details=st.dictionaries(TEXT, JSON, max_size=3))
    )
    row = verdict_row(verdict, devices={}, model=None, profile="p")
    store.save_verdict("npu", "a.b", row)
    strict(store.directory / "verdicts" / "npu-a.b.json")
    write_json(store.directory / "whole.json", acceptance_document(state="finished", run={}, verdicts=[row]))
    strict(store.directory / "whole.json")


@MANY
@given(document=JSON)
def test_any_document_is_written(store, document):
    write_json(store.directory / "any.json", document)
    assert strict(store.directory / "any.json") == json.loads(json.dumps(finite(document)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, np.float64("inf")])
def test_a_baseline_file_is_strict_too(tmp_path, value):
    store = Store(tmp_path / "run")
    store.begin()
    item = DriftPoint(16, 15, 5, "0f", -1.0)
    store.save(Measurement("drift-gpu-16", "gpu", (item,)))
    assert record_baseline(tmp_path / "base.zip", store, {"gpu": {"clock": value}}, {"fact": value})
    with zipfile.ZipFile(tmp_path / "base.zip") as archive:
        archive.extract("baseline.json", tmp_path)
    strict(tmp_path / "baseline.json")
