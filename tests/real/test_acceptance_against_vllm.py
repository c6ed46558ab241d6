"""The stage that CI and nox run: real vLLM in bfloat16 is accepted against the FP32 reference."""

from __future__ import annotations

import json
from pathlib import Path

import accept_vllm
import pytest
from needs_vllm import IF_INSTALLED, VENV

from pytest_gptoss.judge.thresholds import load_profile


@pytest.mark.vllm
@IF_INSTALLED
def test_real_vllm_is_accepted_with_recorded_hidden_states(tmp_path: Path) -> None:
    """One card holds one server: hidden states are recorded first, as the README tells."""
    assert accept_vllm.main([f"--venv={VENV}", f"--output={tmp_path}"]) == 0
    document = json.loads((tmp_path / "acceptance.json").read_text("utf-8"))
    verdicts = {row["threshold_id"]: row["verdict"] for row in document["verdicts"]}
    assert verdicts.keys() == load_profile("embedded").thresholds.keys()
    skipped = {name for name, verdict in verdicts.items() if verdict == "SKIPPED"}
    assert {name.partition(".")[0] for name in skipped} == {"baseline", "configuration"}
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


def test_where_there_is_no_wheel_the_stage_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no-wheels").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "no-wheels"))
    assert accept_vllm.main([f"--venv={tmp_path / 'venv'}", f"--output={tmp_path / 'out'}"]) == 3
    assert "cannot be installed here: pip finds no such wheel for" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
