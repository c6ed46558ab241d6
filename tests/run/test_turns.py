"""Managed servers take turns: all that is needed of one is measured, it is ended, the next is started."""

import dataclasses
import sys
from pathlib import Path

import pytest

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.serve_options import pooling_variant
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.model.serve_command import ServeCommand
from pytest_gptoss.run.engine import AcceptanceRun

SERVER = Path(__file__).with_name("fake_vllm_command.py")
ROWS = (
    "preflight.ready",
    "preflight.model",
    "configuration.inputs_identical",
    "configuration.token_match_rate",
)


def managed(name, tmp_path, *more, role="npu"):
    words = (
        sys.executable,
        str(SERVER),
        "--port",
        "{port}",
        "--name",
        name,
        "--starts",
        str(tmp_path / "starts"),
    )
    log = tmp_path / "report" / "servers" / f"{name}.log"
    return DeviceSettings(role, name, None, log=log, serve=ServeCommand((*words, *more)))


@pytest.fixture
def run_of(tmp_path):
    runs = []

    def make(*devices):
        settings = Settings(
            devices=devices,
            profile="embedded",
            report=tmp_path / "report",
            ready_timeout_s=30.0,
            timeout_s=10.0,
        )
        run = AcceptanceRun(settings, make_plan(settings), tell=lambda _: None)
        runs.append(run)
        run.begin()
        return run

    yield make
    for run in runs:
        run.close()


def starts(tmp_path):
    return [tuple(line.split()) for line in (tmp_path / "starts").read_text().splitlines()]


def test_each_runs_once_and_alone_and_one_that_does_not_start_costs_no_other(run_of, tmp_path):
    run = run_of(
        managed("eager", tmp_path), managed("broken", tmp_path, "--no-such-flag"), managed("graph", tmp_path)
    )
    rows = [(npu, row) for row in ROWS for npu in ("eager", "broken", "graph")]
    run.expect(row for row in rows if row[0] != "eager" or "configuration" not in row[1])
    probed = run.devices.probed()
    happened = starts(tmp_path)
    assert [(name, word) for name, _, word in happened] == [
        ("eager", "up"), ("eager", "down"), ("graph", "up"), ("graph", "down"),
    ]  # fmt: skip
    assert not any(Path(f"/proc/{pid}").exists() for _, pid, _ in happened)
    assert "unrecognized arguments: --no-such-flag" in probed["broken"].problem
    graph = run.verdict("graph", "configuration.inputs_identical")
    assert graph.status == "PASS", graph.reason
    assert run.verdict("graph", "configuration.token_match_rate").status != "INVALID"
    broken = run.verdict("broken", "preflight.ready")
    assert broken.status in ("FAIL", "INVALID")
    assert "ended with status 2" in str(broken.reason) + str(broken.details)
    assert starts(tmp_path) == happened, "verdicts start nothing again"


def test_what_nobody_expected_is_measured_when_it_is_asked_for(run_of, tmp_path):
    run = run_of(managed("npu", tmp_path))
    assert run.verdict("npu", "preflight.ready").status == "PASS"
    assert [word for _, _, word in starts(tmp_path)] == ["up"]
    run.close()
    assert [word for _, _, word in starts(tmp_path)] == ["up", "down"]


def test_hidden_states_come_from_the_pooling_variant_in_the_same_turn(run_of, tmp_path):
    devices = [managed(name, tmp_path) for name in ("eager", "graph")]
    run = run_of(*(dataclasses.replace(each, pooling=pooling_variant(each.serve)) for each in devices))
    run.expect([("graph", "configuration.hidden_cosine")])
    run.devices.probed()
    verdict = run.verdict("graph", "configuration.hidden_cosine")
    assert (verdict.status, verdict.value) == ("PASS", 1.0), verdict.reason
    names = [name for name, _, word in starts(tmp_path) if word == "up"]
    assert names == ["eager", "eager-pooling", "graph", "graph-pooling"]
