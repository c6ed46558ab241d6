"""Servers of a run: each is started once, and one that does not start is one device's problem."""

from pathlib import Path

import pytest

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.model.errors import MeasurementError, ReferenceServerError
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.servers import started as servers_module
from pytest_gptoss.servers.started import Servers, Started


class Process:
    def __init__(self, url, running):
        self.url = url
        self._running = running
        running.append(self)

    def stop(self):
        self._running.remove(self)


@pytest.fixture
def running(monkeypatch):
    """Stand-ins for started servers that run; the reference's checkpoint is bad."""
    alive, starts = [], []

    def pair(**_):
        starts.append("pair")
        return {name: Process(f"http://127.0.0.1:{port}", alive) for name, port in (("npu", 8), ("gpu", 9))}

    def reference(model, dtype, **_):
        starts.append("reference")
        raise ReferenceServerError(f"the reference server did not start: {model}: no checkpoint")

    monkeypatch.setattr(servers_module, "start_pair", pair)
    monkeypatch.setattr(servers_module, "start_reference", reference)
    return alive, starts


def test_a_server_that_does_not_start_is_not_tried_again_and_costs_no_other(running):
    alive, starts = running
    servers = Servers(Settings(embedded=True, cpu_model=Path("bad")), tell=lambda _: None)
    for _ in range(3):
        started = servers.started()
        assert set(started.urls) == {"npu", "gpu"}
        assert "no checkpoint" in started.problems["cpu"]
    assert starts == ["pair", "reference"]
    assert len(alive) == 2
    servers.stop()
    assert alive == []


def test_what_was_started_survives_the_way_to_another_process():
    started = Started({"npu": "http://127.0.0.1:8"}, {"cpu": "no checkpoint"})
    assert Started(**started.document()) == started


def test_a_device_whose_server_did_not_start_is_invalid_alone(running, tmp_path):
    _, starts = running
    settings = Settings(
        devices=(DeviceSettings("npu", "npu", "http://127.0.0.1:9"), DeviceSettings("cpu", "cpu", None)),
        cpu_model=Path("bad"),
        profile="embedded",
        report=tmp_path,
        ready_timeout_s=0.1,
    )
    run = AcceptanceRun(settings, make_plan(settings), tell=lambda _: None)
    run.begin()
    assert (
        run.devices.probed()["cpu"].problem == "cpu: the reference server did not start: bad: no checkpoint"
    )
    assert "127.0.0.1:9" in run.devices.probed()["npu"].problem
    with pytest.raises(MeasurementError, match="no checkpoint"):
        run.devices.device("cpu")
    assert run.store.load("preflight-cpu").failures[0].kind == "start"
    assert starts == ["reference"]
    run.close()
