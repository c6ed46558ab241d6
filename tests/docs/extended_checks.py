"""Run in a copy of the package that has all additions of ``docs/extending.md``: each of them works.

Not collected with the other tests: ``test_extending_examples.py`` runs it.
"""

import json
from pathlib import Path

from pytest_gptoss.cli.main import main
from pytest_gptoss.config.option import OnReplay
from pytest_gptoss.config.options import OPTION
from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.diagnosis.signature_files import load_signatures
from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.verdicts import Threshold
from pytest_gptoss.report.wording import Wording
from pytest_gptoss.scenarios.job import Setup
from pytest_gptoss.scenarios.kinds import Feature, Load, Needle
from pytest_gptoss.scenarios.registry import kind_of_id

RUNS = Path(__file__).resolve().parents[1] / "report" / "runs"
ROLES = Roles("npu", "gpu")
PLAN = make_plan(Settings(profile="embedded"))


def test_the_package_is_the_copy():
    import pytest_gptoss

    assert Path(pytest_gptoss.__file__).parents[1] == Path(__file__).resolve().parents[2]


def test_the_metric_is_planned_and_has_its_name():
    assert PLAN.thresholds["precision.length_difference"].metric == "length_difference"
    assert set(PLAN.metrics["length_difference"].needs(ROLES)) == {"npu", "gpu"}
    assert Wording("zh").name("precision.length_difference") == "回答长度差"


def test_the_scenario_kind_is_found_by_its_id_and_has_requests():
    from pytest_gptoss.scenarios.kinds.repeated import Repeated

    class Client:
        chat = None

    scenario = Repeated("npu", 3)
    assert kind_of_id(scenario.id) is Repeated
    assert scenario.id != Repeated("npu", 4).id
    setup = Setup(PLAN.workload, {}, lambda _: None)
    assert len(scenario.job(setup, Client()).asks) == scenario.size(setup) == 3


def test_the_format_is_written_by_the_command(tmp_path):
    assert main(["report", str(RUNS / "passing"), "--format", "csv", "--output", str(tmp_path)]) == 0
    head, *rows = (tmp_path / "verdicts.csv").read_text("utf-8").splitlines()
    document = json.loads((RUNS / "passing" / "acceptance.json").read_text("utf-8"))
    assert head.startswith("npu,threshold_id,verdict")
    assert len(rows) == len(document["verdicts"])


def test_the_option_is_in_the_table():
    assert OPTION["report_title"].env == "GPTOSS_REPORT_TITLE"
    assert OPTION["report_title"].replay is OnReplay.FREE
    assert Settings(report_title="Rack 7").report_title == "Rack 7"


def test_the_needle_cell_is_planned():
    assert PLAN.thresholds["needle.recall.d010-3k"].tier == "assurance"
    assert metric_named("needle_recall.d010-3k").needs(ROLES)["npu"] == Needle("npu", 0.1, 3072)
    assert 3072 in PLAN.needle_lengths


def test_the_load_level_is_planned():
    assert list(PLAN.workload.levels) == ["c01", "c02", "c04", "c08", "c16"]
    assert PLAN.thresholds["performance.completed.c02"].limit == 1.0
    assert metric_named("ttft.c02").needs(ROLES) == {"trial_0": Load("npu", "c02")}


def test_the_capability_row_is_planned():
    assert PLAN.metrics["stop_strings"].needs(ROLES) == {"npu": Feature("npu", "stop")}
    assert Feature("npu", "stop").id == "feature-npu-stop"
    assert load_signatures().match("EngineDeadError").may_explain("capability.stop_strings")


def test_the_condition_is_taken_by_a_metric():
    from pytest_gptoss import REPEATED, Condition

    assert isinstance(REPEATED, Condition)
    assert REPEATED.absent(Roles("npu")) == "each load level is measured once: add --gptoss-trials 5"
    row = Threshold("ours.x", "precision", "x", "max", "<=", 1.0, "tokens", "assurance", "ours")

    def extend(extensions):
        extensions.metrics["x"] = Metric("x", lambda: None, lambda _: {}, condition=REPEATED)
        extensions.thresholds["ours.x"] = row

    assert make_plan(Settings(), extend).thresholds["ours.x"] == row


def test_the_signature_knows_its_line():
    found = load_signatures().match("RuntimeError: DEVICE_LOST: card 3 fell off the bus")
    assert found.name == "device-lost"
    assert found.may_explain("precision.kl")
