"""``pytest-gptoss calibrate``: the table, the file, the exit status."""

import json

import pytest

from pytest_gptoss.cli import calibration_report as command
from pytest_gptoss.cli.main import main
from pytest_gptoss.model.results import InstrumentError
from pytest_gptoss.scenarios.calibration import Calibrated


def erring(**errors):
    fine = {"ttft_bias_ms": 0.4, "ttft_p99_ms": 1.5, "tpot_bias_ms": 0.0, "tpot_p99_ms": 0.1}
    return InstrumentError(concurrency=16, requests=8, load_held=0.99, **{**fine, **errors})


def test_a_level_is_calibrated_and_written(tmp_path, capsys):
    file = tmp_path / "calibration.json"
    status = main(["calibrate", "--short", "--concurrency", "2", "--output", str(file)])
    written = json.loads(file.read_text("utf-8"))
    assert status == (0 if written["fit"] else 1)
    (level,) = written["levels"]
    assert (level["concurrency"], level["requests"]) == (2, 16)
    head, row, *_ = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["concurrency", "requests"]
    assert row.split()[:2] == ["2", "16"]


@pytest.mark.parametrize(
    ("errors", "status", "named"),
    [
        ({}, 0, None),
        ({"ttft_bias_ms": -4.9, "ttft_p99_ms": 90.0}, 0, None),
        ({"ttft_bias_ms": -5.1}, 1, "TTFT"),
        ({"tpot_bias_ms": 1.1}, 1, "TPOT"),
    ],
)
def test_it_fails_when_the_instrument_is_too_coarse_for_the_guides_limits(
    monkeypatch, capsys, errors, status, named
):
    """Medians are gated, at 100 and 20 ms, and 5% of that is allowed; a long tail alone does not count."""
    monkeypatch.setattr(
        command, "calibrate", lambda shapes, take, **_: take(Calibrated("c16", erring(**errors)))
    )
    assert main(["calibrate", "--concurrency", "16"]) == status
    said = capsys.readouterr().out
    assert ("too coarse" in said) is (named is not None)
    assert named is None or f"bias in {named}" in said


def test_a_level_that_failed_leaves_the_others_their_figures(monkeypatch, capsys, tmp_path):
    def calibrate(shapes, take, **_):
        take(Calibrated("c04", problem="calibration: the client fell over"))
        take(Calibrated("c16", erring()))

    monkeypatch.setattr(command, "calibrate", calibrate)
    file = tmp_path / "calibration.json"
    assert main(["calibrate", "--concurrency", "4,16", "--output", str(file)]) == 1
    assert "concurrency 4: calibration: the client fell over" in capsys.readouterr().out
    written = json.loads(file.read_text("utf-8"))
    assert [level["concurrency"] for level in written["levels"]] == [16]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--profile", "none"], "no such profile"),
        (["--concurrency", "0"], "--concurrency is '0'"),
        (["--output", "missing/file.json"], "there is no directory"),
        (["--npu-url", "http://x"], "unknown option --npu-url"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_said(capsys, arguments, words):
    assert main(["calibrate", *arguments]) == 4
    assert words in capsys.readouterr().err
