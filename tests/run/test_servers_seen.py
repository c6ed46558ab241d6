"""Which servers answered in a run, told by its store: one a device, a restart, replicas, other sources."""

import dataclasses

import numpy as np
import pytest

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.model.results import HiddenStates, Measurement
from pytest_gptoss.model.subjects import Capabilities, Device, ServerIdentity
from pytest_gptoss.report.document import acceptance_document
from pytest_gptoss.report.headline import partial, verdict_words
from pytest_gptoss.report.wording import Wording
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.run.servers_seen import servers_seen
from pytest_gptoss.scenarios.devices import ProbedDevice
from pytest_gptoss.scenarios.identity import provenance_of
from pytest_gptoss.scenarios.kinds import Greedy, Hidden, Needle, Preflight

FIRST = ServerIdentity((1795355900.0,), "gpt-oss-20b", "/m", "0.18.0")
SECOND = dataclasses.replace(FIRST, starts=(1795359500.0,))
POOL = dataclasses.replace(FIRST, starts=(1795350000.0,))
CELL = Needle("npu", 0.0, 1024)
ROWS = (
    ("preflight.ready", Preflight("npu")),
    ("precision.leakage", Greedy("npu")),
    ("needle.recall.d000-1k", CELL),
)
STATES = (HiddenStates("s", (1,), np.zeros((1, 2), np.float32)),)


@pytest.fixture
def run(tmp_path):
    settings = Settings(
        devices=(DeviceSettings("npu", "npu", "http://npu:1"), DeviceSettings("gpu", "gpu", "http://gpu:1")),
        report=tmp_path / "report",
    )
    run = AcceptanceRun(settings, make_plan(settings), tell=lambda _: None)
    run.begin()
    device = Device("npu", "npu", "http://npu:1", "npu", "gpt-oss-20b", "0.18.0", 4096, Capabilities())
    run.store.save_document("devices", [ProbedDevice("npu", device).document()])
    yield run
    run.close()


def keep(run, scenario, before, after, *, at=0, place=None, items=()):
    provenance = provenance_of(before=before, after=after, place=place)
    run.store.save(
        Measurement(
            scenario.id, scenario.device, items, started=f"2026-11-28T10:0{at}:00", provenance=provenance
        )
    )


def found_of(run):
    rows = [{"threshold_id": name, "npu": "npu", "verdict": "PASS"} for name, _ in ROWS]
    return servers_seen(run.store, run.plan, run.roles, rows)


def family(run, *pairs):
    """Keep the three families' measurements, with who answered before and after each."""
    for at, ((_, scenario), (before, after)) in enumerate(zip(ROWS, pairs, strict=True)):
        keep(run, scenario, (before,), (after,), at=at)


def test_one_start_from_the_first_family_to_the_last(run):
    family(run, (FIRST, FIRST), (FIRST, FIRST), (FIRST, FIRST))
    assert found_of(run) == {"changed": [], "sources": []}


def test_a_run_that_keeps_nothing_of_it_is_one_server(run):
    for _, scenario in ROWS:
        run.store.save(Measurement(scenario.id, "npu", ()))
    assert found_of(run) == {"changed": [], "sources": []}


def test_a_restart_between_two_families(run):
    family(run, (FIRST, FIRST), (FIRST, FIRST), (SECOND, SECOND))
    (change,) = found_of(run)["changed"]
    assert (change["kind"], change["sides"]) == ("restart", [["preflight", "precision"], ["needle"]])


def test_what_a_row_depends_on_belongs_to_its_family(run):
    """``inputs.identical`` takes prompt ids out of the answers."""
    keep(run, Greedy("npu"), (FIRST,), (FIRST,))
    keep(run, CELL, (SECOND,), (SECOND,), at=1)
    rows = [
        {"threshold_id": name, "npu": "npu", "verdict": "PASS"}
        for name in ("inputs.identical", "needle.recall.d000-1k")
    ]
    (change,) = servers_seen(run.store, run.plan, run.roles, rows)["changed"]
    assert change["sides"] == [["precision"], ["needle"]]


def test_a_restart_while_a_family_was_measured(run):
    family(run, (FIRST, FIRST), (FIRST, SECOND), (SECOND, SECOND))
    (change,) = found_of(run)["changed"]
    assert (change["sides"], change["across"]) == ([["preflight"], ["needle"]], ["precision"])


def test_two_replicas(run):
    family(run, (FIRST, FIRST), (SECOND, FIRST), (FIRST, SECOND))
    (change,) = found_of(run)["changed"]
    assert change["kind"] == "replicas"


def test_hidden_states_of_another_server_are_named_and_have_their_own_start(run):
    family(run, (FIRST, FIRST), (FIRST, FIRST), (FIRST, FIRST))
    keep(run, Hidden("npu"), (POOL,), (POOL,), at=4, place="http://pool:8001", items=STATES)
    found = found_of(run)
    assert found["changed"] == []
    (source,) = found["sources"]
    assert source["sound"]
    assert source["text"] == "npu: hidden states from http://pool:8001 (gpt-oss-20b, version 0.18.0)"


def test_a_pooling_server_of_another_version_is_found_out(run):
    family(run, (FIRST, FIRST), (FIRST, FIRST), (FIRST, FIRST))
    newer = (dataclasses.replace(POOL, version="0.32.0"),)
    keep(run, Hidden("npu"), newer, newer, at=4, place="http://pool:8001", items=STATES)
    (source,) = found_of(run)["sources"]
    assert not source["sound"]


def test_a_recorded_baseline_is_named_and_its_own_restart_found(run):
    device = Device("gpu", "gpu", None, "gpu", "gpt-oss-20b", "0.19.1", 4096, Capabilities())
    run.store.save_document("devices", [ProbedDevice("gpu", device).document()])
    run.store.save_document("recorded", {"file": "base.zip", "devices": ["gpu"]})
    assert found_of(run)["sources"][0]["text"] == (
        "gpu: measurements from base.zip (gpt-oss-20b, version 0.19.1)"
    )
    keep(run, Preflight("gpu"), (), (FIRST,))
    keep(run, Greedy("gpu"), (SECOND,), (SECOND,), at=1)
    assert found_of(run)["changed"][0]["kind"] == "restart"


# -- the headline -----------------------------------------------------------------------------


def document(found):
    row = {"verdict": "PASS", "tier": "contract"}
    return acceptance_document(
        state="finished", run={"profile": "atlas-800-a2"}, verdicts=[row], selected=1,
        measurements={"servers": found},
    )  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh"])
def test_accepted_means_one_server(run, language):
    family(run, (FIRST, FIRST), (FIRST, FIRST), (SECOND, SECOND))
    one = document({"changed": [], "sources": []})
    assert one["run"]["verdict"] == "ACCEPTED"
    assert partial(one, Wording(language)) is None
    several = document(found_of(run))
    assert several["run"]["verdict"] == "PASSED IN PART"
    assert verdict_words(several, Wording("en")) == "PASSED IN PART: 1 of the guide's 1 thresholds"
    said = partial(several, Wording(language))
    assert "npu: its server changed during the run" in said
    assert "server 1: preflight, precision; server 2: needle" in said


def test_another_version_of_a_source_is_a_part_and_a_sound_source_is_none():
    source = {"device": "npu", "sound": True, "text": "npu: hidden states from x"}
    assert document({"changed": [], "sources": [source]})["run"]["verdict"] == "ACCEPTED"
    unsound = document({"changed": [], "sources": [{**source, "sound": False}]})
    assert unsound["run"]["verdict"] == "PASSED IN PART"
    assert "hidden states from x" in partial(unsound, Wording("en"))


def test_an_older_report_without_the_finding_is_read():
    older = document({"changed": [], "sources": []})
    del older["measurements"]["servers"]
    assert partial(older, Wording("en")) is None
