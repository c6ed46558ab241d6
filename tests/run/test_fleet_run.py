"""A fleet's nodes are measured in rounds, side by side, and a row is given what all of them told."""

import dataclasses
import json
import os
import signal
import time
from contextlib import ExitStack
from itertools import pairwise

import pytest
from fake_vllm import fake_vllm

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.judge.conditions import FLEET
from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.roles import fleet_of
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.fleet import FleetTask
from pytest_gptoss.model.verdicts import Estimate, Threshold
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.run.replay import replayed
from pytest_gptoss.scenarios.kinds.canaries import rounds_of
from pytest_gptoss.scenarios.kinds.canaryanswers import answers_by
from pytest_gptoss.scenarios.kinds.passages import Passages

NODES = ("n1", "n2", "dead", "n3")
ROW = Threshold("fleet.mine", "fleet", "mine", "count", "=", 0, "answers", "assurance", "ours")


def _needs(roles):
    task = fleet_of(roles)
    rounds = {f"round_{each.round}": each for each in rounds_of(roles.subject, task)}
    return {**rounds, "answers": answers_by(roles.subject, task), "passages": Passages(roles.subject)}


@pytest.fixture(scope="module")
def servers():
    with ExitStack() as stack:
        yield [stack.enter_context(fake_vllm()) for _ in range(3)]


@pytest.fixture
def run_of(servers, tmp_path):
    runs = []

    def make(report="report", **settings):
        given = []

        def mine(**measured):
            given.append(measured)
            return Estimate(0, "answers", 1)

        def extend(extensions):
            extensions.metrics["mine"] = Metric("mine", mine, _needs, condition=FLEET, fleet=True)
            extensions.thresholds[ROW.id] = ROW

        urls = dict(zip(("n1", "n2", "n3"), (each.url for each in servers), strict=True))
        devices = [DeviceSettings("npu", name, urls.get(name, "http://127.0.0.1:9")) for name in NODES]
        usual = {
            "devices": tuple(devices), "profile": "embedded", "report": tmp_path / report,
            "ready_timeout_s": 0.1, "timeout_s": 10.0, "fleet": FleetTask(NODES, 4, 2, 8),
        }  # fmt: skip
        settings = Settings(**{**usual, **settings})
        said = []
        run = AcceptanceRun(settings, make_plan(settings, extend), tell=said.append)
        runs.append(run)
        run.begin()
        return run, given

    yield make
    for run in runs:
        run.close()


def test_a_row_is_given_what_all_nodes_that_answer_told(run_of, servers):
    run, given = run_of()
    assert run.verdict("dead", ROW.id).status == "INVALID"
    assert not given, "nothing is measured for a node that does not answer"
    verdict = run.verdict("n2", ROW.id)
    assert verdict.status == "PASS", verdict.reason
    own, others = given[0], given[0]["others"]
    assert set(others) == {"n1", "n3"}
    assert set(others["n3"]) == {"round_0", "round_1", "answers", "passages"}
    quiet, busy = own["round_0"].items[0], others["n1"]["round_1"].items[0]
    assert [each.id[-7:] for each in quiet.requests] == [f"r0-{place:04d}" for place in range(4)]
    assert (quiet.shape.concurrency, busy.shape.concurrency) == (1, 2)
    assert all(each.error is None for each in (*quiet.requests, *busy.requests))
    answers = own["answers"].items
    assert [each.sequence_id for each in answers] == [
        f"r{round_}-{place:02d}" for round_ in (0, 1) for place in range(4)
    ]
    assert {each.kind for each in answers} == {"r0", "r1"}
    assert max(len(each.token_ids) for each in own["passages"].items) <= 512
    salts = [body["cache_salt"] for body in servers[0].chats() if "cache_salt" in body]
    assert len(set(salts)) == len(salts) == 2 + 2 * 4, "warmed up, and never answered from the prefix cache"
    levels = [own["round_0"], *(each["round_0"] for each in others.values())]
    starts = [level.items[0].requests[0].start_ns for level in levels]
    assert max(starts) - min(starts) < 0.5e9, "the round runs on all nodes at the same time"
    assert all(each.provenance["server"] for each in levels)
    before = [len(each.asked) for each in servers]
    assert run.verdict("n1", ROW.id).status == "PASS"
    assert [len(each.asked) for each in servers] == before, "all was measured at once"


def test_nodes_beyond_the_bound_are_measured_in_waves(run_of):
    run, given = run_of(fleet=FleetTask(NODES, 4, 2, 1))
    assert run.verdict("n1", ROW.id).status == "PASS"
    levels = [given[0]["round_1"], *(each["round_1"] for each in given[0]["others"].values())]
    spans = sorted(
        (level.items[0].requests[0].start_ns, level.items[0].requests[-1].end_ns) for level in levels
    )
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))


def test_a_replay_knows_the_fleet_and_asks_nobody(run_of, servers, tmp_path):
    run, _ = run_of()
    assert run.verdict("n1", ROW.id).status == "PASS"
    run.close()
    before = [len(each.asked) for each in servers]
    settings = replayed(Settings(replay=tmp_path / "report"))
    assert settings.fleet == FleetTask(NODES, 4, 2, 8)
    again, given = run_of("again", **{"replay": tmp_path / "report"})
    assert again.verdict("n1", ROW.id).status == "PASS"
    assert set(given[0]["others"]) == {"n2", "n3"}
    assert again.verdict("dead", ROW.id).status == "INVALID"
    assert [len(each.asked) for each in servers] == before


@pytest.mark.parametrize(
    ("key", "value"),
    [("nodes", ["n1", "n2", "n3", "other"]), ("canaries", 0), ("repeats", 10**9), ("in_flight", -1)],
)
def test_a_damaged_fleet_is_no_finished_run(run_of, tmp_path, key, value):
    run_of()[0].close()
    path = tmp_path / "report" / "run" / "run.json"
    facts = json.loads(path.read_text())
    facts["fleet"][key] = value
    path.write_text(json.dumps(facts))
    with pytest.raises(UsageError, match=rf"no finished run there.*fleet\.{key}"):
        replayed(Settings(replay=tmp_path / "report"))


def test_a_fleet_records_its_baseline_and_is_judged_against_the_recording(run_of, servers, tmp_path):
    nodes = [
        DeviceSettings("npu", name, each.url) for name, each in zip(("n1", "n2", "n3"), servers, strict=True)
    ]
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps(["one", "two", "three", "four"]), "utf-8")
    usual = {"fleet": FleetTask(("n1", "n2", "n3"), 4, 2, 8), "prompts": prompts, "profile": "embedded"}
    row, kept = "precision.token_match_rate", tmp_path / "base.zip"
    with fake_vllm() as gpu:
        devices = (*nodes, DeviceSettings("gpu", "gpu", gpu.url))
        run, _ = run_of(devices=devices, record=kept, **usual)
        live = {name: run.verdict(name, row) for name in usual["fleet"].nodes}
        fleet = {name: run.verdict(name, ROW.id).status for name in usual["fleet"].nodes}
        assert set(fleet.values()) == {"PASS"}
        recorded = run.record()
        assert recorded
        assert not [each for each in recorded if "canar" in each], "the nodes' rounds are no baseline"
        asked = len(gpu.asked)
        devices = (*nodes, DeviceSettings("gpu", "gpu", None, recorded=True))
        again, _ = run_of("again", devices=devices, baseline=kept, **usual)
        for name, verdict in live.items():
            found = again.verdict(name, row)
            assert (found.status, found.value) == (verdict.status, verdict.value), found.reason
            assert verdict.value is not None
        assert len(gpu.asked) == asked


def test_without_a_baseline_rows_that_compare_with_one_are_skipped(run_of):
    run, _ = run_of()
    verdict = run.verdict("n1", "precision.kl")
    assert verdict.status == "SKIPPED"
    assert "--gpu-url" in verdict.reason


def test_rows_of_a_fleet_are_of_no_other_run(run_of):
    plan = run_of()[0].plan
    assert ROW.id in plan.thresholds
    single = dataclasses.replace(run_of("other")[0].settings, fleet=None)
    assert not [row for row in make_plan(single).thresholds.values() if row.family == "fleet"]


def test_an_interruption_keeps_what_came(run_of, servers):
    run, _ = run_of()
    run.devices.probed()
    asked = len(servers[0].chats())

    def interrupt(body, chunks):
        if len(servers[0].chats()) == asked + 2 + 3:  # two that warm up, then the third canary
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        return chunks

    servers[0].stream = interrupt
    try:
        with pytest.raises(KeyboardInterrupt):
            run.verdict("n1", ROW.id)
    finally:
        servers[0].stream = None
    stored = run.store.load(rounds_of("n1", run.settings.fleet)[0].id)
    assert not stored.complete
    assert [each.kind for each in stored.failures] == ["interrupted"]
    assert [each.id[-4:] for each in stored.items[0].requests] == ["0000", "0001"]


def test_a_node_that_dies_costs_no_other(run_of, servers):
    run, given = run_of()
    run.devices.probed()
    servers[1].stream = lambda body, chunks: (500, "EngineDeadError")
    try:
        verdict = run.verdict("n1", ROW.id)
    finally:
        servers[1].stream = None
    assert verdict.status == "PASS", verdict.reason
    died, other = (given[0]["others"][name] for name in ("n2", "n3"))
    assert not died["round_0"].complete
    assert "no request that warms the server up was answered" in died["round_0"].failures[0].message
    assert set(died["answers"].left_out) >= {"r0-00"}
    assert other["round_0"].complete
    assert len(other["answers"].items) == 2 * 4
