"""What a run can judge, known before anything is sent: the table, its metrics, the inputs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from pytest_gptoss.config.haystack import refuse_answer_in_haystack
from pytest_gptoss.config.metric_table import MetricTable
from pytest_gptoss.config.settings import DEFAULT_PROFILE, Settings
from pytest_gptoss.judge.conditions import Condition, condition_names
from pytest_gptoss.judge.info_metrics import info_names
from pytest_gptoss.judge.installed import refuse_taken_names
from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.needle_cells import cells_of
from pytest_gptoss.judge.profile_files import shipped_profiles
from pytest_gptoss.judge.registry import metric_named, shipped_metric
from pytest_gptoss.judge.thresholds import Profile, load_profile
from pytest_gptoss.judge.trend import TREND, trended
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.subjects import CHUNK_FACT
from pytest_gptoss.model.verdicts import BY_HOOK, FAMILIES, TIERS, Comparison, Threshold
from pytest_gptoss.scenarios import corpus, prompts
from pytest_gptoss.scenarios.capacity_task import capacity_task
from pytest_gptoss.scenarios.load_plan import planned_levels
from pytest_gptoss.scenarios.long_texts import LongTexts
from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Extensions", "Plan", "make_plan"]


@dataclass
class Extensions:
    """What a project adds or changes through the hooks; filled in place."""

    prompt_sets: dict[str, Path] = field(default_factory=dict)
    thresholds: dict[str, Threshold] = field(default_factory=dict)
    metrics: MutableMapping[str, Metric] = field(default_factory=MetricTable)


@dataclass(frozen=True)
class Plan:
    """One run's table (``thresholds`` by id, in order), metrics by name, and workload."""

    profile: Profile
    thresholds: Mapping[str, Threshold]
    metrics: Mapping[str, Metric]
    workload: Workload

    @property
    def needle_lengths(self) -> tuple[int, ...]:
        """Prompt lengths of the table's needle cells in tokens, shortest first."""
        return tuple(dict.fromkeys(cell.length for cell in cells_of(self.thresholds.values())))

    @property
    def info_names(self) -> tuple[str, ...]:
        """Names of the metrics that are printed with the table's rows, as reports order them."""
        return info_names(self.thresholds.values(), self.metrics)


def make_plan(settings: Settings, extend: Callable[[Extensions], None] = lambda _: None) -> Plan:
    """Load the profile, apply the user's changes and the project's extensions, load the inputs.

    Raises UsageError for anything wrong with a file or a name.
    """
    refuse_taken_names(lambda name: shipped_metric(name) is not None, shipped_profiles())
    profile = load_profile(
        settings.profile or DEFAULT_PROFILE,
        overrides=settings.thresholds,
        full_needle_grid=settings.needle_grid == "full",
        levels=lambda profile: planned_levels(profile, settings.load),
        forced=settings.compare == "forced",
    )
    levels = planned_levels(profile.workload.levels, settings.load)
    metrics = MetricTable(row.metric for row in profile.thresholds.values())
    extensions = Extensions(thresholds=dict(profile.thresholds), metrics=metrics)
    extend(extensions)
    _check(extensions, settings)
    thresholds = _with_changes_told(extensions, profile.thresholds)
    if settings.fleet is None:
        thresholds = _without_fleet(thresholds)
    work = profile.workload
    prompt_sets = {
        "precision": (
            prompts.load_file(settings.prompts) if settings.prompts else prompts.load_shipped(work.prompts)
        ),
        "smoke": prompts.load_shipped("smoke"),
        "features": prompts.load_shipped("features"),
    }
    for name, path in extensions.prompt_sets.items():
        if name in prompt_sets:
            raise UsageError(f"prompt set {name!r} exists already: give yours another name")
        prompt_sets[name] = prompts.load_file(path, name=name)
    refuse_answer_in_haystack(settings.needle)
    fixed = corpus.load_shipped(work.corpus)
    workload = Workload(
        prompt_sets=prompt_sets,
        corpus=fixed.sequences,
        corpus_sha256=fixed.sha256,
        max_tokens=work.max_tokens,
        top_logprobs=work.top_logprobs,
        max_scored_tokens=settings.max_scored_tokens or work.max_scored_tokens,
        needle=settings.needle,
        levels=levels,
        long=LongTexts(
            sequences=corpus.load_shipped(work.long_corpus).sequences,
            chunk_tokens=work.chunk_tokens,
            stated=_stated_chunks(settings),
            most_scored=settings.max_scored_tokens,
        ),
        capacity=capacity_task(levels, gated=any(row.metric == "capacity" for row in thresholds.values())),
    )
    return Plan(profile, thresholds, extensions.metrics, workload)


def _stated_chunks(settings: Settings) -> dict[str, int]:
    stated = ((device, facts.get(CHUNK_FACT)) for device, facts in settings.info.of_devices.items())
    return {device: int(chunk) for device, chunk in stated if chunk is not None}


def _with_changes_told(extensions: Extensions, shipped: Mapping[str, Threshold]) -> dict[str, Threshold]:
    """The project's table; a row of the profile's that a hook has made another says so in every report.

    Raises UsageError for a row that a hook took away: nobody would miss it.
    """
    missing = next(
        (threshold_id for threshold_id in shipped if threshold_id not in extensions.thresholds), None
    )
    if missing is not None:
        raise UsageError(
            f"a pytest_gptoss_thresholds hook has taken {missing} away: waive it with a reason instead, "
            f"--gptoss-waive '{missing}=REASON'"
        )
    table = dict(extensions.thresholds)
    for threshold_id, before in shipped.items():
        row = table[threshold_id]
        if row == before and _is_shipped(extensions.metrics[row.metric], row.metric):
            continue
        was = before.limit if before.changed_from is None else before.changed_from
        changed_from = was if row.limit != was else None
        table[threshold_id] = dataclasses.replace(row, source=BY_HOOK, changed_from=changed_from)
    return table


def _without_fleet(table: Mapping[str, Threshold]) -> dict[str, Threshold]:
    """The table without the rows that compare a fleet's nodes, and without their trends."""
    left = {name: row for name, row in table.items() if row.family != "fleet"}
    return {name: row for name, row in left.items() if trended(name) in {None, *left}}


def _is_shipped(metric: Metric, name: str) -> bool:
    try:
        return metric is metric_named(name.removeprefix(TREND))
    except KeyError:
        return False


def _check(extensions: Extensions, settings: Settings) -> None:
    known = ", ".join(extensions.thresholds)
    for threshold_id in settings.waivers or {}:
        if threshold_id not in extensions.thresholds:
            raise UsageError(f"--gptoss-waive: no threshold is called {threshold_id!r}; there are: {known}")
    names = [device.name for device in settings.devices]
    for device in settings.info.of_devices:
        if names and device not in names:
            raise UsageError(
                f"--gptoss-info: no device is called {device!r}; there are: {', '.join(names)}; "
                "a fact of the run has no dot before its '='"
            )
    for threshold_id, threshold in extensions.thresholds.items():
        if threshold_id != threshold.id:
            raise UsageError(f"threshold {threshold.id!r} is registered as {threshold_id!r}: make them equal")
        metric = extensions.metrics.get(threshold.metric)
        if metric is None:
            raise UsageError(f"threshold {threshold_id}: there is no metric {threshold.metric!r}")
        _refuse_unknown_words(threshold, metric)
        _refuse_unknown_parts(threshold, metric, extensions.metrics)


def _refuse_unknown_parts(threshold: Threshold, metric: Metric, metrics: Mapping[str, Metric]) -> None:
    unknown = next((name for name in metric.info if name not in metrics), None)
    if unknown is not None:
        raise UsageError(f"threshold {threshold.id}: its metric's info names {unknown!r}, which is no metric")
    if metric.condition is not None and not isinstance(metric.condition, Condition):
        raise UsageError(
            f"threshold {threshold.id}: its metric's condition is {metric.condition!r}; it takes one of "
            f"pytest_gptoss's conditions: {', '.join(condition_names())}"
        )


def _refuse_unknown_words(threshold: Threshold, metric: Metric) -> None:
    words = {
        "family": (threshold.family, FAMILIES),
        "tier": (threshold.tier, TIERS),
        "comparison": (threshold.comparison, get_args(Comparison)),
        "statistic": (threshold.statistic, metric.statistics or (threshold.statistic,)),
    }
    for what, (word, known) in words.items():
        if word not in known:
            raise UsageError(
                f"threshold {threshold.id}: {what} is {word!r}; it takes one of: {', '.join(known)}"
            )
    if not isinstance(threshold.limit, int | float) or not math.isfinite(threshold.limit):
        raise UsageError(f"threshold {threshold.id}: limit is {threshold.limit!r}; it takes a finite number")
