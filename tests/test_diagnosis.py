"""What the face adds to a diagnosis: logs as people may see them, and all that is known of a server."""

import pytest

from pytest_gptoss.diagnosis import Diagnosis
from pytest_gptoss.judge.diagnosis import load_signatures
from pytest_gptoss.measure.store import Store
from pytest_gptoss.preflight import preflight_findings
from pytest_gptoss.records import Measurement, Preflight, ServerFacts
from pytest_gptoss.settings import DeviceSettings, Settings

OLD = '[symptom.old]\nfails = ["precision.kl"]\nbelow_version = { vllm = "0.19.0" }\nremedy = "Upgrade."\n'


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "run")
    store.begin()
    return store


def _settings(log=None):
    return Settings(devices=(DeviceSettings("npu", "npu", "http://npu:8000", log=log),))


def test_a_logs_bytes_do_not_reach_the_terminal(tmp_path, store):
    log = tmp_path / "npu.log"
    log.write_text("")
    found = Diagnosis(_settings(log), store, load_signatures())
    found.begin()
    log.write_text("\x1b[2J\x1b]0;x\x07NPU out of memory \u202e\n")
    said = found.beside("precision.kl", ["npu"])
    assert "NPU out of memory" in said[0]
    assert all(line.isprintable() for line in said)


@pytest.mark.parametrize(("version", "shown"), [("0.18.0rc1", True), ("0.19.0", False)])
def test_the_version_that_a_server_tells_by_itself_is_known_everywhere(tmp_path, store, version, shown):
    facts = ServerFacts("r", (), 0.0, ("m",), model="m", version=version)
    store.save(Measurement(Preflight("npu").id, "npu", (facts,)))
    path = tmp_path / "ours.toml"
    path.write_text(OLD)
    row = {"npu": "npu", "threshold_id": "precision.kl", "verdict": "FAIL", "value": 1.0, "details": {}}
    found = Diagnosis(_settings(), store, load_signatures([path])).findings([row], lambda npu, _: [npu])
    assert ("old" in [each["name"] for each in found]) == shown
    (server,) = preflight_findings(store, _settings())
    assert server["facts"] == [{"name": "vllm", "value": version, "source": "/version"}]
