"""What a run can judge, known before anything is sent: the table, its metrics, the inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_gptoss.errors import UsageError
from pytest_gptoss.judge.catalogue import METRICS, Metric, load_metrics
from pytest_gptoss.judge.thresholds import Profile, load_profile
from pytest_gptoss.measure import corpus, prompts
from pytest_gptoss.measure.load_plan import planned_levels
from pytest_gptoss.measure.workload import Workload
from pytest_gptoss.records import Threshold
from pytest_gptoss.settings import DEFAULT_PROFILE, Settings

__all__ = ["Extensions", "Plan", "make_plan"]


@dataclass
class Extensions:
    """What a project adds or changes through the hooks; filled in place."""

    prompt_sets: dict[str, Path] = field(default_factory=dict)
    thresholds: dict[str, Threshold] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """One run's table (``thresholds`` by id, in order), metrics by name, and workload."""

    profile: Profile
    thresholds: Mapping[str, Threshold]
    metrics: Mapping[str, Metric]
    workload: Workload


def make_plan(settings: Settings, extend: Callable[[Extensions], None] = lambda _: None) -> Plan:
    """Load the profile, apply the user's changes and the project's extensions, load the inputs.

    Raises UsageError for anything wrong with a file or a name.
    """
    profile = load_profile(
        settings.profile or DEFAULT_PROFILE,
        overrides=settings.thresholds,
        full_needle_grid=settings.needle_grid == "full",
        concurrency=settings.load.concurrency,
    )
    levels = planned_levels(profile.workload.levels, settings.load)
    metrics = {**METRICS, **{name: each for level in levels for name, each in load_metrics(level).items()}}
    extensions = Extensions(thresholds=dict(profile.thresholds), metrics=metrics)
    extend(extensions)
    _check(extensions, settings)
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
    fixed = corpus.load_shipped(work.corpus)
    workload = Workload(
        prompt_sets=prompt_sets,
        corpus=fixed.sequences,
        corpus_sha256=fixed.sha256,
        max_tokens=work.max_tokens,
        top_logprobs=work.top_logprobs,
        max_scored_tokens=work.max_scored_tokens,
        needle=settings.needle,
        levels=levels,
    )
    return Plan(profile, extensions.thresholds, extensions.metrics, workload)


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
        if threshold.metric not in extensions.metrics:
            raise UsageError(f"threshold {threshold_id}: there is no metric {threshold.metric!r}")
