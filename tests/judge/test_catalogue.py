"""The catalogue fits the tables, the metrics and the runner; the judge is pure."""

import dataclasses
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import pytest_gptoss.judge
from pytest_gptoss.judge import metrics
from pytest_gptoss.judge.conditions import CPU, FIRST, FLEET, GPU, GPU_CHAT, PEER
from pytest_gptoss.judge.gates import gates
from pytest_gptoss.judge.metric import declared
from pytest_gptoss.judge.registry import metric_named, shipped_metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.judge.thresholds import load_profile, profile_names
from pytest_gptoss.model.fleet import FleetTask
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.report.wording import catalogue
from pytest_gptoss.scenarios.kinds import Drift, Forced, Greedy, Hidden, Load, Needle, Rendered

ROLES = Roles(subject="tp8", gpu="gpu", cpu="cpu", first="tp1", needle_lengths=(256, 32_768))
NODE = Roles("tp8", fleet=FleetTask(("tp8", "n2", "n3")))
CHAT_ONLY = {"smoke", "features"}
"""Prompt sets that are always asked as chat: features of chat are tried with them."""
TABLES = {name: load_profile(name, full_needle_grid=True).thresholds for name in profile_names()}
TABLE = TABLES["atlas-800-a2"]
JUDGE = Path(pytest_gptoss.judge.__file__).parent
PARTS = {"needle": "d033-300", "position": "300"}
"""Of these families a member that no profile names; all others are of load levels."""


def _member(name):
    return metric_named(name.replace("*", PARTS.get(name.partition("_")[0], "c03")))


def _declared_names():
    """Names of all metrics, those of families with a ``*`` in the place of cell or level."""
    for module in iter_modules(metrics.__path__):
        for value in vars(import_module(f"{metrics.__name__}.{module.name}")).values():
            yield from (each.name for each in declared(value))


def _needs(metric):
    """What a metric needs where all that it looks at is there."""
    return metric.needs(NODE if metric.condition is FLEET else ROLES)


EVERY = {name: _member(name) for name in _declared_names()}
ROWS = [row for table in TABLES.values() for row in table.values()]
GATED = {row.metric: metric_named(row.metric) for row in ROWS if shipped_metric(row.metric)}
AS_FAR_AS_THERE = ("edges", "preflight_baseline")
"""They look at the CPU reference where the run has one."""


def lacks(table):
    """What rows of a table lack, a line each: metric, statistic, wording, or rows to depend on."""
    for row in table.values():
        keys = {f"name.{row.id}", f"name.{row.id.rpartition('.')[0]}.*"} & set(catalogue())
        if not any(set(catalogue()[key]) == set(LANGUAGES) for key in keys):
            yield f"{row.id}: no name in messages.json, in {' and '.join(LANGUAGES)}"
        try:
            metric = metric_named(row.metric)
        except KeyError:
            yield f"{row.id}: no metric is called {row.metric}"
            continue
        if row.statistic not in metric.statistics:
            yield f"{row.id}: metric {row.metric} has no statistic {row.statistic!r}"
        unknown = {*gates(row, metric), *metric.depends_on} - set(table)
        yield from (f"{row.id}: it depends on {each}, which is no row" for each in sorted(unknown))
        for name in metric.info:
            assert metric_named(name).statistics == ()  # printed, never judged


@pytest.mark.parametrize("profile", TABLES)
def test_every_row_of_a_profile_has_all_it_needs(profile):
    assert list(lacks(TABLES[profile])) == []


def test_what_a_row_lacks_is_named():
    row = TABLE["precision.kl"]
    rows = [
        dataclasses.replace(row, id="precision.new", metric="new"),
        dataclasses.replace(row, statistic="p99"),
    ]
    said = list(lacks({each.id: each for each in rows}))
    assert said[:3] == [
        "precision.new: no name in messages.json, in en and zh",
        "precision.new: no metric is called new",
        "precision.kl: metric kl has no statistic 'p99'",
    ]
    assert "precision.kl: it depends on inputs.identical, which is no row" in said


def test_every_declared_metric_is_gated_or_printed_beside_one():
    """Load figures without a row of their own can be gated by a project."""
    used = {each for metric in GATED.values() for each in (metric.name, *metric.info)}
    used = {name.partition(".")[0] for name in used}
    spare = {name.partition(".")[0] for name in EVERY} - used
    of_open_levels = {"send_delay", "goodput", "stable"}
    of_closed = {"first_text", "e2e", "client_delay", "itl", "error_rate"}
    assert spare == {"capacity", *of_closed, *of_open_levels}


def test_a_metric_takes_what_it_needs():
    for name, metric in EVERY.items():
        parameters = inspect.signature(metric.compute).parameters
        handed = {*_needs(metric), *metric.context, *(["others"] if metric.fleet else [])}
        any_name = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
        assert any_name or handed <= set(parameters), name
        assert ("statistic" in parameters) == (len(metric.statistics) > 1), name
        named = {key: each for key, each in parameters.items() if each.kind is not each.VAR_KEYWORD}
        asked = {key for key, each in named.items() if each.default is inspect.Parameter.empty}
        assert asked <= handed, name


def test_a_metric_without_a_baseline_asks_no_gpu():
    for name, metric in EVERY.items():
        devices = {scenario.device for scenario in _needs(metric).values()}
        looks_at_one = name == "known_defects"  # at a baseline too where there is one, and compares nothing
        compares = metric.baseline or metric.condition in (GPU, GPU_CHAT, PEER)
        assert (compares or looks_at_one) == ("gpu" in devices), name
        assert (metric.condition in (FIRST, PEER)) == ("tp1" in devices), name
        assert "cpu" not in devices or metric.condition in (CPU, PEER) or name in AS_FAR_AS_THERE, name
        if not metric.baseline and metric.condition is None:
            assert metric.needs(Roles("npu")), name


@pytest.mark.parametrize(
    ("condition", "roles", "said"),
    [
        (CPU, Roles("npu", "gpu"), "no CPU reference: add --cpu-url URL or --gptoss-cpu-model DIR"),
        (GPU, Roles("npu"), "no baseline to look at: add --gpu-url URL"),
        (GPU_CHAT, Roles("npu"), "no baseline to look at: add --gpu-url URL"),
        (
            GPU_CHAT,
            Roles("npu", "gpu", prompt_ids_of="gpu"),
            "the baseline's own prompt ids are sent to every device (--gptoss-inputs token-ids)",
        ),
        (PEER, Roles("npu"), "no other device to compare with: add --gpu-url URL"),
        (FIRST, Roles("npu", "gpu"), "the first device under test is what the others are compared with"),
    ],
)
def test_a_condition_says_what_is_absent(condition, roles, said):
    assert condition.absent(roles) == said
    assert condition.absent(ROLES) is None


def test_no_row_depends_on_itself_and_what_it_depends_on_depends_on_none():
    for row in TABLE.values():
        for base in GATED[row.metric].depends_on:
            assert base != row.id
            assert GATED[TABLE[base].metric].depends_on == ()


def test_rows_against_the_gpu_depend_on_the_baseline():
    for metric in GATED.values():
        compares = metric.baseline and "npu" in _needs(metric) and metric.name != "inputs_identical"
        assert ("baseline.kl" in metric.depends_on) == compares
        assert ("inputs.identical" in metric.depends_on) == (
            compares
            and not any(isinstance(need, Hidden) or need == Forced("tp8") for need in _needs(metric).values())
        )


def test_scenarios_of_the_contract():
    answers, baseline = Greedy("tp8"), Greedy("gpu")
    assert metric_named("token_match_rate").needs(ROLES) == {
        "npu": answers,
        "gpu": baseline,
        "forced": Forced("tp8", source="gpu", outputs=baseline),
    }
    assert metric_named("rouge_l").needs(ROLES) == metric_named("token_match_rate").needs(ROLES)
    assert metric_named("inputs_identical").needs(ROLES) == {
        "npu": Rendered("tp8", answers=answers),
        "gpu": Rendered("gpu", answers=baseline),
    }
    assert metric_named("perplexity_diff").needs(ROLES) == {"npu": Forced("tp8"), "gpu": Forced("gpu")}
    assert metric_named("hidden_cosine").needs(ROLES) == {"npu": Hidden("tp8"), "gpu": Hidden("gpu")}
    assert metric_named("decode_prefill").needs(ROLES) == {
        "generated": answers,
        "forced": Forced("tp8", source="tp8", outputs=answers),
    }


def test_a_load_level_is_measured_once_for_all_its_figures_and_again_for_each_trial():
    families = [name for name, metric in EVERY.items() if metric.name.endswith(".c03")]
    figures = [metric_named(name.replace("*", "c16")) for name in families]
    once = {tuple(each for each in _needs(metric).values() if isinstance(each, Load)) for metric in figures}
    assert once == {(Load("tp8", "c16"),)}
    again = metric_named("qps.c16").needs(Roles("tp8", trials=3))
    assert list(again.values()) == [Load("tp8", "c16", trial) for trial in range(3)]
    soundness = {metric.name for metric in figures if not metric.depends_on}
    assert soundness == {"completed.c16", "uncached.c16", "error_rate.c16", "audit.c16", "stable.c16"}
    assert metric_named("ttft.c16").depends_on == (
        "performance.completed.c16", "performance.uncached.c16",
    )  # fmt: skip
    assert metric_named("ttft.r0.5").depends_on == (
        "performance.completed.r0.5", "performance.uncached.r0.5", "performance.stable.r0.5",
    )  # fmt: skip
    assert metric_named("qps.r0.5").depends_on == metric_named("send_delay.r0.5").depends_on == (
        "performance.completed.r0.5", "performance.uncached.r0.5",
    )  # fmt: skip
    assert metric_named("goodput.trace").depends_on == ("performance.uncached.trace",)


def test_a_cell_of_any_depth_and_length_is_a_metric():
    assert metric_named("needle_recall.d033-300").needs(ROLES) == {"npu": Needle("tp8", 0.33, 300)}
    assert metric_named("needle_recall.d033-300").info == (
        "needle_first_token.d033-300", "needle_edge.d033-300", "position_drift.300",
    )  # fmt: skip
    assert metric_named("position_drift.64k").needs(ROLES) == {
        f"{role}_{length}": Drift(device, above, length)
        for role, device in (("npu", "tp8"), ("gpu", "gpu"))
        for above, length in ((0, 256), (256, 32_768), (32_768, 65_536))
    }


@pytest.mark.parametrize(
    "name", ["needle_recall.d101-1k", "needle_recall.d25-1k", "needle_recall.d025-1024",
             "needle_recall.d025-0k", "needle_recall.", "needle_recall", "ttft.c1", "ttft.c016", "ttft.c00",
             "ttft", "position_drift.1024", "kl.c16", "none", "", "tool_parser.*"],
)  # fmt: skip
def test_what_is_no_metric_has_none(name):
    with pytest.raises(KeyError):
        metric_named(name)


def test_a_metric_is_built_once():
    assert metric_named("needle_recall.d025-32k") is metric_named("needle_recall.d025-32k")


def test_the_cpu_scores_few_sequences_and_the_gpu_none_twice():
    needs = metric_named("baseline_kl").needs(ROLES)
    assert needs["gpu"] == metric_named("kl").needs(ROLES)["gpu"]
    assert (needs["cpu"].device, needs["cpu"].source, needs["cpu"].limit) == ("cpu", "gpu", 24)
    assert metric_named("edges").needs(ROLES)["cpu"] == needs["cpu"]
    assert "cpu" not in metric_named("edges").needs(Roles("npu", "gpu"))


def test_token_id_inputs_reach_every_answer_but_those_parsed_into_channels():
    roles = Roles("npu", "gpu", "cpu", prompt_ids_of="gpu", first="tp1", fleet=NODE.fleet)
    assert metric_named("leakage").needs(roles) == {"npu": Greedy("npu")}
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
    needs = metric_named("configuration_rouge_l").needs(ROLES)
    assert needs == {"npu": Greedy("tp8"), "gpu": Greedy("tp1")}


def test_preflight_gates_everything_but_itself():
    for row in TABLE.values():
        metric = GATED[row.metric]
        gated = gates(row, metric)
        assert row.id not in gated
        assert ("preflight.model" in gated) == (row.family != "preflight")
        assert ("preflight.distinct" in gated) == (metric.baseline or metric.condition is FIRST)


def test_a_known_defect_stops_no_other_row():
    for row in TABLE.values():
        metric = GATED[row.metric]
        assert "preflight.known_defects" not in (*gates(row, metric), *metric.depends_on)


def _printed_by(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("needle_recall.d025-32k", "needle"),
        ("tools_auto", "tools"),
        ("preflight_distinct", "preflight_distinct"),
    ],
)
def test_a_metric_named_as_its_module_imports_no_other(name, module):
    code = (
        "import sys\nfrom pytest_gptoss.judge.registry import metric_named\n"
        f"metric_named({name!r})\n"
        "print([name for name in sys.modules if name.startswith('pytest_gptoss.judge.metrics.')])"
    )
    assert _printed_by(code) == f"['pytest_gptoss.judge.metrics.{module}']"


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
    assert _printed_by(code) == "[]"
    assert len(modules) > 10
