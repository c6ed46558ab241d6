"""What is measured stays: round trips, atomic files, one lock, one earlier run kept."""

import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from pytest_gptoss.model.arrivals import Arrivals, Slo, TraceFile
from pytest_gptoss.model.atomic_files import write_json
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import (
    AbortTrace,
    BadRequest,
    DriftPoint,
    Failure,
    Generation,
    HiddenStates,
    LoadLevel,
    LoopHealth,
    Measurement,
    NeedleAnswer,
    RequestTiming,
    ScoredSequence,
    ToolCall,
    TopLogprobs,
)
from pytest_gptoss.model.subjects import KnownFact, ServerFacts
from pytest_gptoss.run.store import Store, StoreError


def _top(rows, width):
    ids = np.arange(rows * width, dtype=np.int32).reshape(rows, width)
    return TopLogprobs(ids, -ids.astype(np.float32))


def _generation(name, tokens, width):
    return Generation(
        name, (1, 2), tuple(range(tokens)), "思", "答", (ToolCall("f", "{}"),), "stop", 2, tokens,
        logprobs=-np.arange(tokens, dtype=np.float64), top=_top(tokens, width),
    )  # fmt: skip


def _round_trip(tmp_path, *items, **more):
    store = Store(tmp_path / "run")
    store.begin()
    store.save(Measurement("any", "npu", tuple(items), **more))
    return Store(tmp_path / "run").load("any")


def test_generations_survive_with_their_arrays(tmp_path):
    first, second = _generation("a", 3, 2), _generation("b", 5, 4)
    loaded = _round_trip(tmp_path, first, second)
    for before, after in zip((first, second), loaded.items, strict=True):
        assert (after.prompt_id, after.token_ids, after.text, after.tool_calls) == (
            before.prompt_id, before.token_ids, before.text, before.tool_calls,
        )  # fmt: skip
        np.testing.assert_array_equal(after.logprobs, before.logprobs)
    width = first.top.ids.shape[1]
    np.testing.assert_array_equal(loaded.items[0].top.ids[:, :width], first.top.ids)
    assert (loaded.items[0].top.ids[:, width:] == -1).all()
    assert np.isneginf(loaded.items[0].top.logprobs[:, width:]).all()


def test_load_levels_survive_to_the_nanosecond_in_few_bytes(tmp_path):
    start = 13_796_783_702_138
    whole = [
        RequestTiming(
            f"r{i}", start, start + 7, tuple(range(start, start + 512)), (1,) * 512, start + 9, start + 999,
            1024, 512, None, "length", counted_by="ids",
            prompt_ids=(7, i, 200_000), output_ids=(1,) * (i % 3),
        )
        for i in range(200)
    ]  # fmt: skip
    broken = RequestTiming("bad", 1, None, (), (), None, 5, error=Failure("bad", "stream", "cut"))
    level = LoadLevel(
        LoadShape(16, 200, 1024, 512), (*whole, broken), LoopHealth(0.1, 0.5, 2.0, 0.3), (0.2, 0.3), 67, 16,
        {"prefix_cache_hits": 0.0},
    )  # fmt: skip
    (loaded,) = _round_trip(tmp_path, level).items
    assert loaded == level
    files = (tmp_path / "run" / "measurements").glob("any*")
    assert sum(file.stat().st_size for file in files) < 200 * 512 * 13 + 40_000


def test_an_open_level_survives(tmp_path):
    trace = TraceFile("some/trace.csv", "0" * 64, 2.0)
    shape = LoadShape(
        1, 2, 256, 4, "completions", arrivals=Arrivals(0.5, "trace", trace=trace), ramp_up_s=2.5,
        slo=Slo(500.0, None, 0.9), duration_s=60.0, longest=260,
    )  # fmt: skip
    one = RequestTiming("r0", 10, 20, (30,), (1,), None, 40, intended_ns=9, asked=(200, 1))
    level = LoadLevel(shape, (one, one))
    assert _round_trip(tmp_path, level).items == (level,)


def test_a_level_of_a_server_without_token_ids_survives(tmp_path):
    level = LoadLevel(LoadShape(1, 2, 256, 1), (RequestTiming("r0", 1, 2, (3,), (1,), None, 4),) * 2)
    assert _round_trip(tmp_path, level).items == (level,)


def test_a_level_that_never_began_survives(tmp_path):
    level = LoadLevel(LoadShape(1, 5, 256, 16), ())
    assert _round_trip(tmp_path, level, complete=False).items == (level,)


@pytest.mark.parametrize(
    "item",
    [
        NeedleAnswer(1, "7842", 1024, 0.5, 1024, "答", "思", "stop", first_token_ms=12.5, cached_tokens=0),
        NeedleAnswer(0, "7842", 1024, 0.5, trouble="timeout", message="late"),
        NeedleAnswer(2, "7842", 1024, 0.5, 1024, "答", token_ids=(200005, 17196, 200008, 1, 200002)),
        DriftPoint(4096, 4095, 290, "0f" * 32, -1.2343),
    ],
)
def test_what_has_no_arrays_survives_whole(tmp_path, item):
    assert _round_trip(tmp_path, item).items == (item,)


@pytest.mark.parametrize(
    "item",
    [
        ServerFacts("r", ("127.0.0.1:8000",), 1.5, ("a", "b"), "a", "", "0.18.0", 4096, -0.5, "2026-01-01",
                    (KnownFact("dtype", "torch.bfloat16", "npu.log:3"),)),
        ServerFacts("r", (), 0.0, (), problem="none is served"),
        AbortTrace(0, 1, ((0.1, 1), (0.2, 0)), 30.0),
        BadRequest("not-json", None, "closed", alive=False, trouble="refused"),
    ],
)  # fmt: skip
def test_what_servers_told_and_did_survives_whole(tmp_path, item):
    assert _round_trip(tmp_path, item).items == (item,)


def test_an_answer_without_logprobs_among_others(tmp_path):
    bare = Generation("bare", None, None, "", "", (), None, 0, 0)
    loaded = _round_trip(tmp_path, _generation("a", 3, 2), bare, _generation("b", 2, 2))
    assert loaded.items[1].logprobs is None
    assert loaded.items[1].token_ids is None
    np.testing.assert_array_equal(loaded.items[2].logprobs, [0.0, -1.0])


def test_scores_and_states_survive(tmp_path):
    scored = ScoredSequence("s", (5, 6, 7), 1, np.array([-1.0, -2.0]), _top(2, 3))
    assert _round_trip(tmp_path, scored).items[0].token_ids == (5, 6, 7)
    states = HiddenStates("h", (5, 6), np.ones((2, 4), np.float32))
    loaded = _round_trip(tmp_path, states).items[0]
    assert loaded.states.dtype == np.float32
    assert isinstance(loaded.states, np.memmap)


def test_an_empty_measurement_keeps_its_account(tmp_path):
    failure = Failure("a", "connect", "nobody there")
    loaded = _round_trip(tmp_path, failures=(failure,), left_out={"b": "too long"}, complete=False)
    assert loaded.failures == (failure,)
    assert loaded.left_out == {"b": "too long"}
    assert not loaded.complete


def test_begin_keeps_one_earlier_run(tmp_path):
    for number in range(3):
        store = Store(tmp_path / "run")
        store.begin()
        store.save_document("run", {"number": number})
    assert Store(tmp_path / "run").load_document("run") == {"number": 2}
    assert Store(tmp_path / "previous").load_document("run") == {"number": 1}


def test_adopting_a_run_forgets_its_verdicts(tmp_path):
    old = Store(tmp_path / "old" / "run")
    old.begin()
    old.save(Measurement("x", "npu", (_generation("a", 1, 1),)))
    old.save_verdict("npu", "precision.rouge_l", {"verdict": "PASS"})
    new = Store(tmp_path / "new" / "run")
    new.adopt(tmp_path / "old" / "run")
    assert new.load("x") is not None
    assert new.verdicts() == ()
    assert len(old.verdicts()) == 1


def test_adopting_nothing_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no measurements"):
        Store(tmp_path / "new" / "run").adopt(tmp_path / "nowhere")


def test_a_write_that_fails_leaves_the_old_file_and_no_scrap(tmp_path):
    path = tmp_path / "report.json"
    write_json(path, {"good": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"bad": object()})
    assert json.loads(path.read_text()) == {"good": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


def test_a_file_in_the_way_is_explained(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="--gptoss-report"):
        Store(tmp_path / "file" / "run").begin()


def test_what_no_run_has_made_is_neither_moved_nor_deleted(tmp_path):
    for name in ("run", "previous"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"run: not made by a run .*--gptoss-report DIR"):
        Store(tmp_path / "run").begin()
    (tmp_path / "run" / "mine.txt").unlink()
    with pytest.raises(StoreError, match="previous: not made by a run"):
        Store(tmp_path / "run").begin()
    assert (tmp_path / "previous" / "mine.txt").read_text() == "mine"


def test_a_second_run_in_the_directory_is_refused_until_the_first_has_ended(tmp_path):
    first, second = Store(tmp_path / "run"), Store(tmp_path / "run")
    first.claim()
    first.claim()
    with pytest.raises(StoreError, match=r"another run is measuring there.*--gptoss-report DIR"):
        second.claim()
    other = Store(tmp_path / "other" / "run")
    other.claim()
    first.release()
    second.claim()
    for store in (second, other):
        store.release()


def _claim_and_die(directory: Path, claimed):
    Store(directory).claim()
    claimed.set()
    os._exit(1)


def test_a_claim_ends_with_its_process_however_it_ends(tmp_path):
    context = multiprocessing.get_context("spawn")
    claimed = context.Event()
    process = context.Process(target=_claim_and_die, args=(tmp_path / "run", claimed))
    process.start()
    process.join(60)
    assert claimed.is_set()
    after = Store(tmp_path / "run")
    after.claim()
    after.release()


def _hold(directory: Path, held, release):
    with Store(directory).lock():
        held.set()
        release.wait(30)


def test_the_lock_excludes_other_processes_and_admits_its_own(tmp_path):
    store = Store(tmp_path / "run")
    store.begin()
    context = multiprocessing.get_context("spawn")
    held, release, got = context.Event(), context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(store.directory, held, release))
    waiter = context.Process(target=_hold, args=(store.directory, got, release))
    try:
        holder.start()
        assert held.wait(30)
        waiter.start()
        assert not got.wait(1)  # not before the holder lets go
        release.set()
        assert got.wait(30)
        with store.lock(), store.lock():
            pass
    finally:
        release.set()
        for process in (holder, waiter):
            process.join(30)
            process.kill()


@pytest.mark.parametrize("wrapped", [lambda told: {"problem": told}, lambda told: [{"problem": told}]])
def test_messages_of_a_document_are_kept(tmp_path, wrapped):
    store = Store(tmp_path / "run")
    store.begin()
    for told in (say("{n} tokens", n=5), "5 tokens"):
        store.save_document("devices", wrapped(told))
        found = store.load_document("devices")
        assert found == wrapped("5 tokens")
        problem = (found[0] if isinstance(found, list) else found)["problem"]
        assert type(problem) is type(told)
