"""The catalogue fits the table, the metrics and the runner; the judge is pure."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_gptoss.judge
from pytest_gptoss.judge.registry import CPU_SEQUENCES, INFO, METRICS, Roles, gates, load_metrics
from pytest_gptoss.judge.thresholds import load_profile, profile_names
from pytest_gptoss.scenarios.kinds import Forced, Greedy, Hidden, Load, Rendered

ROLES = Roles(npu="tp8", gpu="gpu", cpu="cpu", first="tp1")
CHAT_ONLY = {"smoke", "features"}
"""Prompt sets that are always asked as chat: features of chat are tried with them."""
TABLE = load_profile("atlas-800-a2").thresholds
EVERY = {**METRICS, **INFO}
JUDGE = Path(pytest_gptoss.judge.__file__).parent


@pytest.mark.parametrize("name", EVERY)
def test_a_metric_takes_what_it_needs(name):
    metric = EVERY[name]
    assert metric.name == name
    parameters = inspect.signature(metric.compute).parameters
    handed = {*metric.needs(ROLES), *metric.given}
    any_name = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    assert any_name or handed <= set(parameters)
    assert ("statistic" in parameters) == (len(metric.statistics) > 1)
    parameters = {key: each for key, each in parameters.items() if each.kind is not each.VAR_KEYWORD}
    assert {key for key, each in parameters.items() if each.default is inspect.Parameter.empty} <= handed


AS_FAR_AS_THERE = ("edges", "preflight_baseline")
"""They look at the CPU reference where the run has one."""


@pytest.mark.parametrize("name", EVERY)
def test_a_metric_without_a_baseline_asks_no_gpu(name):
    metric = EVERY[name]
    devices = {scenario.device for scenario in metric.needs(ROLES).values()}
    looks_at_one = name == "known_defects"  # at a baseline too where there is one, and compares nothing
    compares = metric.baseline or metric.condition in ("gpu", "gpu chat", "peer")
    assert (compares or looks_at_one) == ("gpu" in devices)
    assert (metric.condition in ("first", "peer")) == ("tp1" in devices)
    assert "cpu" not in devices or metric.condition in ("cpu", "peer") or name in AS_FAR_AS_THERE
    if not metric.baseline and metric.condition is None:
        assert metric.needs(Roles("npu"))


@pytest.mark.parametrize("profile", profile_names())
def test_every_threshold_has_its_metric(profile):
    assert {row.metric for row in load_profile(profile).thresholds.values()} <= set(METRICS)


def test_every_metric_rests_on_rows_that_exist_and_never_on_itself():
    metric_of = {row.id: METRICS[row.metric] for row in TABLE.values()}
    for row_id, metric in metric_of.items():
        for base in metric.rests_on:
            assert base != row_id
            assert metric_of[base].rests_on == ()


def test_rows_against_the_gpu_rest_on_the_baseline():
    for metric in METRICS.values():
        compares = metric.baseline and "npu" in metric.needs(ROLES) and metric.name != "inputs_identical"
        assert ("baseline.kl" in metric.rests_on) == compares
        assert ("inputs.identical" in metric.rests_on) == (
            compares
            and not any(
                isinstance(need, Hidden) or need == Forced("tp8") for need in metric.needs(ROLES).values()
            )
        )


def test_what_stands_beside_a_metric_is_information():
    assert {name for metric in METRICS.values() for name in metric.beside} == set(INFO)


def test_scenarios_of_the_contract():
    answers, baseline = Greedy("tp8"), Greedy("gpu")
    assert METRICS["token_match_rate"].needs(ROLES) == {"npu": answers, "gpu": baseline}
    assert METRICS["rouge_l"].needs(ROLES) == METRICS["token_match_rate"].needs(ROLES)
    assert METRICS["inputs_identical"].needs(ROLES) == {
        "npu": Rendered("tp8", answers=answers),
        "gpu": Rendered("gpu", answers=baseline),
    }
    assert METRICS["perplexity_diff"].needs(ROLES) == {"npu": Forced("tp8"), "gpu": Forced("gpu")}
    assert METRICS["hidden_cosine"].needs(ROLES) == {"npu": Hidden("tp8"), "gpu": Hidden("gpu")}
    assert METRICS["decode_prefill"].needs(ROLES) == {
        "generated": answers,
        "forced": Forced("tp8", source="tp8", outputs=answers),
    }


def test_a_load_level_is_measured_once_for_all_its_figures_and_again_for_each_trial():
    figures = load_metrics(16).values()
    once = {tuple(metric.needs(ROLES).values()) for metric in figures}
    assert once == {(Load("tp8", 16),)}
    again = METRICS["qps.c16"].needs(Roles("tp8", trials=3))
    assert list(again.values()) == [Load("tp8", 16, trial) for trial in range(3)]
    soundness = {metric.name for metric in figures if not metric.rests_on}
    assert soundness == {"completed.c16", "uncached.c16", "error_rate.c16"}


def test_the_cpu_scores_few_sequences_and_the_gpu_none_twice():
    needs = METRICS["baseline_kl"].needs(ROLES)
    assert needs["gpu"] == METRICS["kl"].needs(ROLES)["gpu"]
    assert (needs["cpu"].device, needs["cpu"].source, needs["cpu"].limit) == ("cpu", "gpu", CPU_SEQUENCES)
    assert INFO["edges"].needs(ROLES)["cpu"] == needs["cpu"]
    assert "cpu" not in INFO["edges"].needs(Roles("npu", "gpu"))


def test_token_id_inputs_reach_every_answer_but_those_parsed_into_channels():
    roles = Roles("npu", "gpu", "cpu", prompt_ids_of="gpu", first="tp1")
    assert METRICS["leakage"].needs(roles) == {"npu": Greedy("npu")}
    for metric in EVERY.values():
        if metric.name == "leakage":
            continue
        for scenario in metric.needs(roles).values():
            outputs = scenario.outputs if isinstance(scenario, Forced) else scenario
            if isinstance(outputs, Greedy) and outputs.prompts not in CHAT_ONLY:
                assert outputs.prompt_ids_of == "gpu"


def test_configurations_are_judged_as_the_contract_is():
    for row_id, row in TABLE.items():
        if row_id.startswith("configuration.") and row_id != "configuration.inputs_identical":
            contract = TABLE[row_id.replace("configuration.", "precision.")]
            assert (row.comparison, row.limit, row.statistic) == (
                contract.comparison, contract.limit, contract.statistic,
            )  # fmt: skip
    needs = METRICS["configuration_rouge_l"].needs(ROLES)
    assert needs == {"npu": Greedy("tp8"), "gpu": Greedy("tp1")}


def test_preflight_gates_everything_but_itself():
    for row in TABLE.values():
        gated = gates(row, METRICS[row.metric])
        assert row.id not in gated
        assert ("preflight.model" in gated) == (row.family != "preflight")
        compares = METRICS[row.metric].baseline or METRICS[row.metric].condition == "first"
        assert ("preflight.distinct" in gated) == compares
        assert set(gated) <= set(TABLE)


def test_a_known_defect_stops_no_other_row():
    for row in TABLE.values():
        metric = METRICS[row.metric]
        assert "preflight.known_defects" not in (*gates(row, metric), *metric.rests_on)


def test_importing_the_whole_judge_loads_nothing_heavy():
    modules = [
        ".".join(("pytest_gptoss", "judge", *path.relative_to(JUDGE).with_suffix("").parts))
        for path in JUDGE.rglob("*.py")
        if path.name != "__init__.py"
    ]
    code = "import sys\n" + "".join(f"import {name}\n" for name in modules)
    code += (
        "print([name for name in ('pytest', 'httpx', 'rouge_score', 'nltk', 'absl') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert len(modules) > 10
