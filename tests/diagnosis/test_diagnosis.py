"""What the face adds to a diagnosis: logs as people may see them, and all that is known of a server."""

import pytest

from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.diagnosis.run_diagnosis import Diagnosis
from pytest_gptoss.diagnosis.signature_files import load_signatures
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.results import (
    BadRequest,
    Failure,
    LoadLevel,
    Measurement,
    NeedleAnswer,
    RequestTiming,
)
from pytest_gptoss.model.subjects import Capabilities, Device, ServerFacts
from pytest_gptoss.report.builders.preflight_findings import preflight_findings
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.devices import ProbedDevice
from pytest_gptoss.scenarios.kinds import Preflight

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


def _preflight(*items, failures=()):
    return Measurement(Preflight("npu").id, "npu", items, failures=failures)


def _found(diagnosis, *red, verdict="INVALID"):
    rows = [
        {"npu": "npu", "threshold_id": each, "verdict": verdict, "value": None, "details": {}} for each in red
    ]
    return diagnosis.findings(rows, lambda npu, _: [npu])


OLD_OOM = "vLLM API server version 0.18.0\nNPU out of memory\n"


@pytest.mark.parametrize("ready", [True, False])
def test_a_log_from_before_the_run_is_read_only_of_a_server_that_never_answered(tmp_path, store, ready):
    log = tmp_path / "npu.log"
    log.write_text(OLD_OOM)
    diagnosis = Diagnosis(_settings(log), store, load_signatures())
    diagnosis.begin()
    assert diagnosis.beside("preflight.ready", ["npu"]) == []  # nobody was asked yet
    server = ServerFacts("r", (), 0.0, ("m",), model="m")
    failed = Failure("*", "connect", "npu: no server answers there")
    store.save(_preflight(server) if ready else _preflight(failures=(failed,)))
    found = _found(diagnosis, "preflight.ready")
    assert [each["name"] for each in found] == ([] if ready else ["npu-out-of-memory"])
    assert len(diagnosis.beside("preflight.ready", ["npu"])) == (0 if ready else 2)


DIED = "POST http://npu answered 500 Internal Server Error (EngineCore encountered an issue.): see its log"


@pytest.mark.parametrize(
    "measurement",
    [
        Measurement("greedy-npu", "npu", (), failures=(Failure("p1", "status", DIED),)),
        Measurement("needle-npu", "npu", (NeedleAnswer(0, "7", 9, 0.5, trouble="refused", message=DIED),)),
        Measurement("load-npu", "npu", (LoadLevel(LoadShape(1, 1, 8, 8), (
            RequestTiming("x", 0, 1, (), (), None, 2, error=Failure("x", "status", DIED)),)),)),
        Measurement("feature-npu", "npu", (BadRequest("temperature", 400, "no", False, DIED),)),
    ],
    ids=lambda each: each.scenario_id,
)  # fmt: skip
def test_an_error_text_in_an_answer_explains_red_rows(store, measurement):
    store.save(measurement)
    diagnosis = Diagnosis(_settings(), store, load_signatures())
    said = diagnosis.beside("precision.kl", ["npu"])
    assert said[0].startswith("npu answered: POST http://npu answered 500")
    assert "start the server again" in said[1]
    assert diagnosis.beside("precision.kl", ["gpu"]) == []
    (found,) = _found(diagnosis, "precision.kl", "preflight.versions")
    assert (found["kind"], found["times"], found["explains"]) == ("answer", 1, ["precision.kl"])


def test_a_refusal_that_was_provoked_or_explains_nothing_is_not_told(store):
    said = "logprobs of 999, which is greater than max allowed: 20"
    store.save(Measurement("feature-npu", "npu", (BadRequest("logprobs", 400, said, True),)))
    diagnosis = Diagnosis(_settings(), store, load_signatures())
    assert _found(diagnosis, "precision.kl") == []
    store.save(Measurement("greedy-npu", "npu", (), failures=(Failure("p1", "status", DIED),)))
    assert _found(diagnosis, "precision.kl", verdict="PASS") == []


def test_a_log_tells_more_than_an_answer_and_is_told_alone(tmp_path, store):
    log = tmp_path / "npu.log"
    log.write_text("")
    diagnosis = Diagnosis(_settings(log), store, load_signatures())
    diagnosis.begin()
    log.write_text("EngineDeadError: EngineCore encountered an issue.\n")
    store.save(Measurement("greedy-npu", "npu", (), failures=(Failure("p1", "status", DIED),)))
    (found,) = _found(diagnosis, "precision.kl")
    assert (found["kind"], found["line"], found["times"]) == ("log", 1, 1)


def test_what_a_probe_was_told_counts_too(store):
    device = Device("npu", "npu", "http://npu", "npu", "m", "0.18.0", 8192, Capabilities(
        notes={"prompt_logprobs": "400 (logprobs of 20, which is greater than max allowed: 5)"}))  # fmt: skip
    store.save_document("devices", [ProbedDevice("npu", device).document(), ProbedDevice("gpu").document()])
    diagnosis = Diagnosis(_settings(), store, load_signatures())
    assert "--max-logprobs" in diagnosis.beside("precision.kl", ["npu"])[1]
