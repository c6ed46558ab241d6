"""What the matrix counts and prints, from outcomes written down here."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
from detection.matrix import counts, markdown, one_coloured
from detection.recordings import OWN_ROUNDING, RECORDINGS, VLLM, Recording
from detection.row import FAIL, NotMeasured, Outcome, Row, Served, column
from detection.rows import all_rows
from detection.runs import Runs, product_version
from detection.trouble import LOG_LINES, trouble
from detection.wire import FAULTS

from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.reference.defects import DEFECTS

ROOT = Path(__file__).parents[2]


def row(name, *failing, unseen=None, group="numerics", **invalid):
    expect = {
        **dict.fromkeys(failing, FAIL),
        **{key.replace("_", "."): said for key, said in invalid.items()},
    }
    return Row(name, group, f"what {name} is", lambda: nullcontext(Served("")), expect, unseen)


ROWS = (
    row("hit", "precision.kl"),
    row("half", "precision.kl", "needle.recall"),
    row("elsewhere", "precision.kl"),
    row("refused", precision_kl="without [DONE]"),
    row("disguised", precision_kl="without [DONE]"),
    row("escaped", "needle.recall"),
    row("tiny", "precision.kl", unseen="finer than rounding"),
    row("calm", group="controls"),
    row("wolf", group="controls"),
    row("again-1", group="repetitions"),
    row("later", "precision.kl"),
)
GREEN = {"precision.kl": "PASS", "precision.rouge_l": "PASS", "needle.recall.d000-256": "PASS"}
OUTCOMES = {
    each.row: each
    for each in (
        Outcome("hit", 1, 9.0, {**GREEN, "precision.kl": "FAIL"}),
        Outcome("elsewhere", 1, 9.0, {**GREEN, "precision.rouge_l": "INVALID"}),
        Outcome("half", 1, 9.0, {**GREEN, "precision.kl": "FAIL"}),
        Outcome(
            "refused",
            1,
            9.0,
            {**GREEN, "precision.kl": "INVALID"},
            reasons={"precision.kl": "npu: ended without [DONE]"},
        ),
        Outcome(
            "disguised",
            1,
            9.0,
            {**GREEN, "precision.kl": "INVALID"},
            reasons={"precision.kl": "npu: connection refused"},
        ),
        Outcome("again-1", 0, 9.0, GREEN),
        Outcome("escaped", 0, 9.0, GREEN),
        Outcome("tiny", 0, 9.0, GREEN),
        Outcome("calm", 0, 9.0, {**GREEN, "baseline.kl": "SKIPPED"}),
        Outcome("wolf", 1, 9.0, {**GREEN, "needle.recall.d025-512": "FAIL"}),
    )
}


def test_what_is_caught_where_and_what_cries_wolf_is_counted():
    assert counts(ROWS, OUTCOMES) == {
        "tried": 6, "caught": 5, "at the named checks": 2, "repetitions": 1, "alarms in repetitions": 0,
        "other sound runs": 2, "alarms in other sound runs": 1, "not run": 1,
    }  # fmt: skip


def test_damage_by_degrees_is_tabled_with_its_figures():
    rows = [
        Row(f"noise-{step}", "numerics", "noise", lambda: nullcontext(Served("")), graded=True)
        for step in "12"
    ]
    outcomes = {
        "noise-1": Outcome(
            "noise-1", 0, 1.0, GREEN, {"precision.kl": 0.0001234, "needle.recall.d000-256": 1.0}
        ),
        "noise-2": Outcome("noise-2", 1, 1.0, {"precision.kl": "FAIL"}, {"precision.kl": 0.3}),
    }
    lines = markdown(rows, outcomes, told=()).splitlines()
    assert lines[lines.index("| row | precision.kl |") :] == [
        "| row | precision.kl |", "|---|---|", "| noise-1 | 0.0001234 |", "| noise-2 | **0.3** |",
    ]  # fmt: skip


def test_a_run_that_fails_without_a_red_row_is_an_alarm():
    assert Outcome("calm", 4, 1.0).alarmed
    assert not Outcome("calm", 0, 1.0, {"precision.kl": "WAIVED"}).alarmed


def test_the_table_shows_every_cell_the_misses_and_what_was_not_run():
    text = markdown(ROWS, OUTCOMES, told=("Measured by hand.",))
    lines = text.splitlines()
    assert "Measured by hand." in lines
    assert "| hit | what hit is | precision.kl | **FAIL** | PASS | PASS |" in lines
    assert "| elsewhere | what elsewhere is | precision.kl | PASS missed | INVALID | PASS |" in lines
    assert "| half | what half is | precision.kl, needle.recall | **FAIL** | PASS | PASS missed |" in lines
    refused = "precision.kl (without [DONE]) | **INVALID** | PASS | PASS |"
    assert f"| refused | what refused is | {refused}" in lines
    assert f"| disguised | what disguised is | {refused.replace('**INVALID**', 'INVALID missed')}" in lines
    assert "| escaped | what escaped is | needle.recall | PASS | PASS | PASS missed |" in lines
    assert "| wolf | what wolf is | false alarm | PASS | PASS | FAIL | - |" in lines
    assert "| calm | what calm is | none | PASS | PASS | PASS | - |" in lines
    assert "`tiny` is not counted: finer than rounding." in lines
    assert lines[-2:] == ["later", ""] or lines[-1] == "later"
    assert "| false alarms / repetitions of the sound pair | 0 / 1 |" in lines
    assert "| false alarms / other sound runs | 1 / 2 |" in lines


def test_repetitions_without_an_alarm_bound_the_rate_of_false_ones_and_nothing_else_does():
    bound = "| false alarm rate among repetitions, at most (one-sided 95%) |"
    rows = tuple(row(f"again-{n}", group="repetitions") for n in range(59))
    odd = row("odd", group="wire")
    outcomes = {each.id: Outcome(each.id, 0, 1.0, GREEN) for each in (*rows, odd)}
    assert f"{bound} 5.0% |" in markdown((*rows, odd), outcomes, told=())
    assert bound not in markdown([odd], outcomes, told=())
    outcomes["again-7"] = Outcome("again-7", 1, 1.0, {**GREEN, "precision.kl": "FAIL"})
    assert bound not in markdown(rows, outcomes, told=())


def test_a_threshold_seen_in_one_colour_alone_is_named_with_the_other():
    columns = ["needle.recall", "precision.kl", "precision.rouge_l"]
    outcomes = [
        OUTCOMES["hit"],
        Outcome("cut", 1, 1.0, {"precision.kl": "PASS", "precision.rouge_l": "INVALID"}),
    ]
    assert one_coloured(columns, outcomes) == [("needle.recall", "red"), ("precision.rouge_l", "red")]
    assert one_coloured(columns, [Outcome("wolf", 1, 1.0, {"needle.recall.d025-512": "FAIL"})]) == [
        ("needle.recall", "green"), ("precision.kl", "red"), ("precision.kl", "green"),
        ("precision.rouge_l", "red"), ("precision.rouge_l", "green"),
    ]  # fmt: skip


def test_every_defect_of_the_server_has_its_row_and_ids_are_unique():
    rows = all_rows(repeat=59)
    assert len({each.id for each in rows}) == len(rows)
    assert set(DEFECTS) <= {each.id for each in rows}
    assert sum(each.group == "repetitions" for each in rows) == 59
    columns = {column(name) for name in load_profile("embedded").thresholds}
    judged = {name for each in all_rows() for name in each.expect}
    assert judged <= columns
    assert all(each.expect or each.unseen or each.sound for each in rows)


def test_fine_damage_is_counted_against_a_baseline_that_rounds_and_a_sound_row_stays_green_beside_it():
    rows = {each.id: each for each in all_rows()}
    for name in ("weights-6bit", "noise-0.01"):
        assert rows[name].against == VLLM
        assert rows[name].expect["precision.error_ratio"] == FAIL
        assert rows[name].unseen is None
    assert {each.against for each in rows.values()} == set(RECORDINGS)
    for against in (VLLM, OWN_ROUNDING):
        assert any(each.sound for each in rows.values() if each.against == against)


def test_the_table_says_what_rows_were_judged_against():
    other = Row("fine", "numerics", "fine damage", lambda: nullcontext(Served("")), against=VLLM)
    lines = markdown([ROWS[0], other], {**OUTCOMES, "fine": Outcome("fine", 0, 1.0, GREEN)}, told=())
    assert f"Against a recorded baseline of {RECORDINGS[VLLM].what}: `fine`." in lines.splitlines()


def test_a_fault_that_is_not_sound_says_what_should_notice_it():
    rows = {each.id: each for each in all_rows()}
    for fault in FAULTS.values():
        assert rows[f"wire-{fault.name}"].sound == fault.sound, fault.name


# -- what was not as expected -----------------------------------------------------------------


def test_each_row_that_did_not_look_as_expected_is_told_with_its_own_log(tmp_path):
    (tmp_path / "half.log").write_text("".join(f"half {number}\n" for number in range(100)), "utf-8")
    (tmp_path / "disguised.log").write_text("disguised's own\n", "utf-8")
    (tmp_path / "wolf.log").write_text("wolf's own\n", "utf-8")
    outcomes = {
        "half": Outcome("half", 1, 9.0, {**GREEN, "precision.kl": "FAIL"}, {"precision.kl": 0.0312}),
        **{name: OUTCOMES[name] for name in ("hit", "tiny", "calm", "disguised", "wolf")},
    }
    rows = [each for each in ROWS if each.id in outcomes]
    assert trouble(rows, outcomes, {}, lambda name: tmp_path / f"{name}.log") == [
        "== half: what half is",
        "   expected: precision.kl FAIL, needle.recall FAIL",
        "   seen: exit 1, against the recording baseline",
        "   precision.kl FAIL 0.0312",
        "   needle.recall.d000-256 PASS",
        "   the rest: 1 PASS",
        f"   the end of {tmp_path / 'half.log'}:",
        *(f"   | half {number}" for number in range(100 - LOG_LINES, 100)),
        "== disguised: what disguised is",
        "   expected: precision.kl INVALID, saying 'without [DONE]'",
        "   seen: exit 1, against the recording baseline",
        "   precision.kl INVALID: npu: connection refused",
        "   the rest: 2 PASS",
        f"   the end of {tmp_path / 'disguised.log'}:",
        "   | disguised's own",
        "== wolf: what wolf is",
        "   expected: all green, exit 0",
        "   seen: exit 1, against the recording baseline",
        "   needle.recall.d000-256 PASS",
        "   needle.recall.d025-512 FAIL",
        "   the rest: 2 PASS",
        f"   the end of {tmp_path / 'wolf.log'}:",
        "   | wolf's own",
    ]


def test_a_column_that_was_not_judged_is_said_to_be_missing(tmp_path):
    outcomes = {"escaped": Outcome("escaped", 0, 9.0, {"precision.kl": "PASS"})}
    told = trouble([ROWS[5]], outcomes, {}, lambda name: tmp_path / name)
    assert told[3:] == ["   needle.recall was not judged", "   the rest: 1 PASS"]


def test_rows_that_were_not_run_say_why_and_show_their_log_or_the_recordings(tmp_path):
    (tmp_path / "baseline").write_text("gpu: no answer\n", "utf-8")
    told = trouble(
        [row("hit"), row("later"), row("last")], {}, {"hit": "no end"}, lambda name: tmp_path / name
    )
    assert told == [
        "== hit: what hit is", "   not run: no end",
        f"   the end of {tmp_path / 'baseline'}:", "   | gpu: no answer",
        "== not run: later, last",
    ]  # fmt: skip


def test_nothing_is_told_when_all_is_well(tmp_path):
    rows = [each for each in ROWS if each.id in ("hit", "refused", "tiny", "calm", "again-1")]
    assert trouble(rows, OUTCOMES, {}, lambda name: tmp_path / name) == []


# -- runs -------------------------------------------------------------------------------------


def test_the_version_changes_with_the_rows_and_the_tools(tmp_path):
    for name in ("pytest_gptoss/a.py", "tools/detection/wire.py", "tools/vllm_cpu.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = product_version(tmp_path)
        path.write_text("one")
        assert product_version(tmp_path) != before, name


def accepted_as(monkeypatch, status, verdicts, environment=None):
    """Let the suite's command be one that exits so and writes these verdicts."""

    def run(command, *, env, **_):
        (environment if environment is not None else {}).update(env)
        report = Path(next(word for word in command if word.startswith("--gptoss-report=")).partition("=")[2])
        if verdicts is not None:
            report.mkdir()
            (report / "acceptance.json").write_text(json.dumps({"verdicts": verdicts}))
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr("detection.runs.subprocess.run", run)


def verdict(word, reason=None):
    return {"threshold_id": "precision.kl", "verdict": word, "value": 0.1, "reason": reason}


def test_an_outcome_keeps_the_reasons_and_the_environment_decides_nothing(monkeypatch, tmp_path):
    seen = {}
    accepted_as(monkeypatch, 1, [verdict("INVALID", "no [DONE]")], seen)
    monkeypatch.setenv("GPTOSS_WAIVE", "precision.kl=so")
    Runs(tmp_path).run(row("hit", "precision.kl"))
    assert Runs(tmp_path).outcomes()["hit"].reasons == {"precision.kl": "no [DONE]"}
    assert "PATH" in seen
    assert "GPTOSS_WAIVE" not in seen


@pytest.mark.parametrize(("word", "recorded"), [("PASS", True), ("FAIL", False)])
def test_a_baseline_is_recorded_beside_a_sound_device_that_is_accepted(monkeypatch, tmp_path, word, recorded):
    runs = Runs(tmp_path / "state")
    recording = Recording("own", "what it is", lambda: nullcontext(Served("", ("--gpu-url=u",))))
    commands = []

    def run(command, **_):
        commands.append(command)
        report = Path(next(each for each in command if each.startswith("--gptoss-report=")).partition("=")[2])
        report.mkdir()
        (report / "acceptance.json").write_text(json.dumps({"verdicts": [verdict(word)]}))
        runs.baseline("own").write_text("measurements")
        return subprocess.CompletedProcess(command, 0 if word == "PASS" else 1)

    monkeypatch.setattr("detection.runs.subprocess.run", run)
    if recorded:
        runs.record(recording)
    else:
        with pytest.raises(NotMeasured, match=r"own: the sound pair is not accepted \(precision.kl\)"):
            runs.record(recording)
    assert {"--gpu-url=u", f"--gptoss-record={runs.baseline('own')}"} <= set(commands[0])
    assert runs.baseline("own").is_file() == recorded
    assert set(runs.outcomes()) == ({"own"} if recorded else set())


def test_a_row_is_judged_against_its_own_recording_with_its_intervals_and_the_evidence(monkeypatch, tmp_path):
    commands = []
    row = {**verdict("PASS"), "ci": [0.05, 0.2]}
    document = {"verdicts": [row], "run": {"equivalence": {"verdict": "UNDECIDED"}}}

    def run(command, **_):
        commands.append(command)
        report = Path(next(each for each in command if each.startswith("--gptoss-report=")).partition("=")[2])
        report.mkdir()
        (report / "acceptance.json").write_text(json.dumps(document))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("detection.runs.subprocess.run", run)
    runs = Runs(tmp_path, options=("--gptoss-compare=forced",))
    runs.run(Row("fine", "numerics", "fine damage", lambda: nullcontext(Served("")), against=VLLM))
    assert {f"--gptoss-baseline={tmp_path / VLLM}.zip", "--gptoss-compare=forced"} <= set(commands[0])
    outcome = runs.outcomes()["fine"]
    assert (outcome.intervals, outcome.evidence) == ({"precision.kl": [0.05, 0.2]}, "UNDECIDED")


@pytest.mark.parametrize(("status", "verdicts"), [(4, [verdict("PASS")]), (3, [verdict("FAIL")]), (1, None)])
def test_a_run_that_judged_nothing_is_not_kept(monkeypatch, tmp_path, status, verdicts):
    accepted_as(monkeypatch, status, verdicts)
    with pytest.raises(NotMeasured, match=f"pytest exited {status} without verdicts"):
        Runs(tmp_path).run(row("hit", "precision.kl"))
    assert Runs(tmp_path).outcomes() == {}


def test_rows_that_nobody_knows_are_refused(tmp_path):
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "detection.py"),
        "--rows",
        "typo",
        f"--state={tmp_path}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert "--rows typo: no row is called so" in done.stderr
    assert list(tmp_path.iterdir()) == []


class TwoAtOnce:
    """Runs that wait for each other: rows of numerics come two at once, bench rows one by one."""

    def __init__(self):
        self.met, self.order = threading.Barrier(2, timeout=60), []

    def outcomes(self):
        return {"done": Outcome("done", 0, 1.0)}

    def run(self, row):
        if row.group == "numerics":
            self.met.wait()
        self.order.append(row.id)
        if row.id == "broken":
            raise NotMeasured("no end")
        return Outcome(row.id, 1, 2.0, {"precision.kl": "FAIL"})


def test_rows_run_side_by_side_and_those_measured_in_time_alone_and_last(capsys):
    spec = importlib.util.spec_from_file_location("detection_command", ROOT / "benchmarks" / "detection.py")
    command = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(command)
    runs = TwoAtOnce()
    rows = [row("pace", group="bench"), row("done"), row("hit"), row("broken"), row("late", group="timing")]
    not_run = command._run(runs, rows, again=False, jobs=2)
    assert not_run == {"broken": "no end"}
    assert sorted(runs.order[:2]) == ["broken", "hit"]
    assert runs.order[2:] == ["pace", "late"]
    assert capsys.readouterr().out.splitlines() == [
        "4 rows to run",
        "hit: what hit is", "    exit 1, 2 s: precision.kl",
        "broken: what broken is", "    not run: no end",
        "pace: what pace is", "    exit 1, 2 s: precision.kl",
        "late: what late is", "    exit 1, 2 s: precision.kl",
    ]  # fmt: skip
