"""One server a device, or what changed and which families lie on which side."""

import dataclasses
import json

import pytest

from pytest_gptoss.judge.one_server import Sighting, Source, one_server, one_source, sightings_of
from pytest_gptoss.model.subjects import ServerIdentity

FIRST = ServerIdentity(
    starts=(1795355900.25,), model="gpt-oss-20b", checkpoint="/models/gpt-oss-20b", version="0.18.0",
    max_model_len=131072, settings={"dtype": "torch.bfloat16", "tensor_parallel_size": "8"},
)  # fmt: skip
UNTOLD = ServerIdentity()


def other(**changes):
    return dataclasses.replace(FIRST, **changes)


RESTARTED = other(starts=(1795359500.5,))


def seen(before, after=None, families=()):
    after = before if after is None else after
    return Sighting(
        tuple(before) if isinstance(before, list) else (before,),
        tuple(after) if isinstance(after, list) else (after,),
        frozenset(families),
    )


@pytest.mark.parametrize(
    "sightings",
    [
        [],
        [seen(FIRST, families=["precision"])] * 3,
        [seen(UNTOLD), seen(FIRST), seen(UNTOLD)],
        [seen(FIRST), seen(other(starts=(), settings={})), seen(FIRST)],
        [seen(other(version=None)), seen(other(model=None)), seen(other(checkpoint=None))],
        [seen(FIRST), seen([])],
        [seen(other(starts=(5.0, 6.0)))] * 2,
    ],
    ids=["nothing", "one", "untold", "told in part", "told by turns", "not read", "a page of two processes"],
)
def test_one_server_is_one_and_what_is_not_told_is_unchanged(sightings):
    assert one_server("npu", sightings) is None


def test_a_restart_says_what_changed_and_what_lies_on_which_side():
    found = one_server(
        "npu",
        [
            seen(FIRST, families=["preflight"]),
            seen(FIRST, families=["precision"]),
            seen(FIRST, RESTARTED, families=["needle"]),
            seen(RESTARTED, families=["performance"]),
        ],
    )
    assert found["kind"] == "restart"
    assert found["changed"] == {"process start": ["2026-11-22T13:58:20.25Z", "2026-11-22T14:58:20.50Z"]}
    assert found["sides"] == [["preflight", "precision"], ["performance"]]
    assert found["across"] == ["needle"]
    assert "server 1: preflight, precision; server 2: performance; on more than one: needle" in found["text"]
    assert "2026-11-22T13:58:20.25Z -> 2026-11-22T14:58:20.50Z" in found["text"]


@pytest.mark.parametrize(
    ("changes", "name", "values"),
    [
        ({"version": "0.18.1"}, "version", ["0.18.0", "0.18.1"]),
        ({"model": "gpt-oss-120b"}, "model", ["gpt-oss-20b", "gpt-oss-120b"]),
        ({"checkpoint": "/models/other"}, "checkpoint", ["/models/gpt-oss-20b", "/models/other"]),
        ({"max_model_len": 8192}, "max_model_len", ["131072", "8192"]),
        ({"settings": {"dtype": "torch.float16"}}, "dtype", ["torch.bfloat16", "torch.float16"]),
        ({"settings": {"tensor_parallel_size": "4"}}, "tensor_parallel_size", ["8", "4"]),
    ],
)
def test_a_change_of_configuration_is_one_even_where_no_start_is_told(changes, name, values):
    later = other(starts=(), **changes)
    found = one_server("npu", [seen(FIRST, families=["precision"]), seen(later, families=["needle"])])
    assert found["changed"] == {name: values}
    assert found["sides"] == [["precision"], ["needle"]]


def test_what_nobody_told_in_between_changes_nothing_but_what_is_told_later_does():
    found = one_server("npu", [seen(FIRST), seen(UNTOLD, families=["needle"]), seen(RESTARTED)])
    assert (found["kind"], found["sides"]) == ("restart", [["needle"], []])


@pytest.mark.parametrize(
    "sightings",
    [
        [seen(FIRST), seen(RESTARTED), seen(FIRST, families=["precision"])],
        [seen(FIRST), seen([RESTARTED, FIRST], families=["precision"])],
        [seen(FIRST, RESTARTED, families=["precision"]), seen(FIRST)],
    ],
)
def test_a_start_that_comes_back_is_another_replica_not_a_restart(sightings):
    found = one_server("npu", sightings)
    assert found["kind"] == "replicas"
    assert "2 servers answered in turn" in found["text"]
    assert "--npu-url NAME=URL" in found["text"]


def test_many_starts_and_many_settings_stay_a_sentence():
    servers = [
        other(starts=(float(second),), settings={f"setting{name}": str(second) for name in range(30)})
        for second in range(100)
    ]
    found = one_server("npu", [seen(each, families=["needle"]) for each in servers])
    assert len(found["sides"]) == 100
    assert len(found["text"]) < 1000


# -- other sources ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "sound"),
    [
        (FIRST, True),
        (RESTARTED, True),
        (UNTOLD, True),
        (
            ServerIdentity(model="/models/gpt-oss-20b", checkpoint="/models/gpt-oss-20b", version="0.18.0"),
            True,
        ),
        (other(max_model_len=8192, settings={"dtype": "torch.float32"}), True),
        (other(version="0.32.0"), False),
        (other(model="gpt-oss-120b", checkpoint="/models/gpt-oss-120b"), False),
        (other(model="gpt-oss-120b", checkpoint=None), False),
    ],
)
def test_a_source_shares_model_and_version_not_the_start(theirs, sound):
    found = one_source("npu", FIRST, Source("hidden states", "http://pool:8001", theirs))
    assert found["sound"] is sound
    assert found["text"].startswith("npu: hidden states from http://pool:8001 (")
    assert ("its own server is gpt-oss-20b, version 0.18.0" in found["text"]) is not sound


@pytest.mark.parametrize(
    "document",
    [
        None, 7, {}, {"before": None}, {"before": {"starts": []}, "after": 3},
        {"before": [{"starts": [], "later": 1}], "after": [], "place": None},
        {"before": [3, "x", None], "place": 4},
        {"before": [{"starts": ["x", None, 1e300, float("nan"), -1, True], "model": 3, "version": [],
                     "checkpoint": {}, "max_model_len": "8", "settings": {"dtype": 4}}]},
        {"before": [{"starts": 3, "settings": "text"}]},
    ],
)  # fmt: skip
def test_what_an_older_a_newer_or_a_damaged_run_keeps_tells_nothing(document):
    before, after, place = sightings_of(document)
    assert list(before) in ([], [UNTOLD])
    assert (after, place) == ((), None)


def test_what_is_kept_is_read_back():
    kept = {"before": [dataclasses.asdict(FIRST)], "after": [dataclasses.asdict(RESTARTED)] * 2, "place": "x"}
    assert sightings_of(json.loads(json.dumps(kept))) == ((FIRST,), (RESTARTED, RESTARTED), "x")
