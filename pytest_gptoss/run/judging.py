"""Verdicts of a run: each computed once, after the rows it rests on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from pytest_gptoss.config.plan import Plan
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.judge.gates import gates
from pytest_gptoss.judge.metric import Metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.judge.trend import Past, trend, trended
from pytest_gptoss.judge.verdicts import invalid, judge, skipped, waived
from pytest_gptoss.model.errors import (
    ConditionAbsent,
    GptossError,
    InsufficientData,
    LedgerError,
    MeasurementError,
)
from pytest_gptoss.model.message import say
from pytest_gptoss.model.verdicts import Threshold, Verdict
from pytest_gptoss.run.absent import absent_level, absent_part, lacks_baseline
from pytest_gptoss.run.estimating import Estimating
from pytest_gptoss.run.info_metrics import InfoMetrics
from pytest_gptoss.run.instrument import why_client_was_late, why_in_doubt
from pytest_gptoss.run.load_order import levels_of
from pytest_gptoss.run.roles import roles_of
from pytest_gptoss.run.store import Store

__all__ = ["Judging"]


class Judging:
    """Answers ``verdict(npu, threshold id)``. ``past`` knows the earlier figures of a device's row."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        store: Store,
        estimating: Estimating,
        info: InfoMetrics,
        *,
        past: Callable[[str, str], Sequence[Past]] = lambda npu, row: (),
    ) -> None:
        self._past = past
        self._plan = plan
        self._store = store
        self._estimating = estimating
        self._info = info
        self._waivers = settings.waivers or {}
        self._calibrated = settings.load.calibrate
        self._roles = partial(roles_of, settings, plan)
        self._verdicts: dict[tuple[str, str], Verdict] = {}

    def verdict(self, npu: str, threshold_id: str) -> Verdict:
        """Judge one threshold on one device; never raises for what a server did."""
        threshold = self._plan.thresholds[threshold_id]
        reason = self._waivers.get(threshold_id)
        return self._judged(npu, threshold) if reason is None else waived(threshold, npu, reason)

    def judge_finished_levels(self, rows: Iterable[tuple[str, str]]) -> Iterator[Verdict]:
        """After an interruption: verdicts on load levels that were measured to the end and not yet judged."""
        for npu, threshold_id in rows:
            levels = levels_of(self._plan, self._roles(npu), threshold_id)
            stored = [self._store.load(each.id) for each in levels]
            finished = bool(stored) and all(each is not None and each.complete for each in stored)
            if finished and (npu, threshold_id) not in self._verdicts:
                yield self.verdict(npu, threshold_id)

    def _judged(self, npu: str, threshold: Threshold) -> Verdict:
        """The verdict as measured, waived or not: others may rest on it; computed once."""
        key = (npu, threshold.id)
        if key not in self._verdicts:
            self._verdicts[key] = self._judge(npu, threshold)
        return self._verdicts[key]

    def _judge(self, npu: str, threshold: Threshold) -> Verdict:
        watched = trended(threshold.id)
        if watched is not None:
            return self._judge_trend(npu, threshold, self._plan.thresholds[watched])
        metric, roles = self._plan.metrics[threshold.metric], self._roles(npu)
        lacking = self._lacking(threshold, metric, roles)
        if lacking is not None:
            return lacking
        try:
            blocked = self._blocked_by(npu, threshold, metric)
            if blocked is not None:
                return blocked
            estimate = self._estimating.estimate(metric, roles, threshold.statistic)
            doubt = self._doubt(threshold, metric, roles)
            if doubt is not None:
                return invalid(threshold, npu, doubt)
            verdict = judge(threshold, npu, estimate)
        except ConditionAbsent as error:
            return skipped(threshold, npu, str(error))
        except (InsufficientData, MeasurementError) as error:
            return invalid(threshold, npu, str(error))
        except GptossError as error:
            return invalid(threshold, npu, f"{type(error).__name__}: {error}")
        self._info.keep(metric, roles)
        return verdict

    def _judge_trend(self, npu: str, threshold: Threshold, watched: Threshold) -> Verdict:
        """Hold a row's figure against those of earlier runs; SKIPPED where there are none to be had."""
        now = self._judged(npu, watched)
        if now.value is None:
            reason = say("{threshold_id} has no value", threshold_id=watched.id)
            return skipped(threshold, npu, reason)
        try:
            estimate = trend(now.value, self._past(npu, watched.id), watched.comparison)
        except (ConditionAbsent, LedgerError) as error:
            return skipped(threshold, npu, str(error))
        return judge(threshold, npu, estimate)

    def _lacking(self, threshold: Threshold, metric: Metric, roles: Roles) -> Verdict | None:
        """The verdict on a row that this run has no means to measure; None when it has."""
        absent = absent_part(metric, roles)
        if absent is not None:
            return skipped(threshold, roles.subject, absent)
        if lacks_baseline(metric, roles):
            if roles.fleet is not None:
                reason = say(
                    "a fleet without a baseline: its nodes are compared with each other; add --gpu-url URL"
                )
                return skipped(threshold, roles.subject, reason)
            reason = say("no baseline to compare with: add --gpu-url URL or --gptoss-baseline FILE")
            return invalid(threshold, roles.subject, reason)
        absent = absent_level(metric, roles, self._plan.workload.levels)
        if absent is None:
            return None
        without = invalid if threshold.tier == "contract" else skipped
        return without(threshold, roles.subject, absent)

    def _blocked_by(self, npu: str, judged: Threshold, metric: Metric) -> Verdict | None:
        """INVALID when a metric means nothing: by the first threshold it depends on that does not hold.

        Who waives a preflight row vouches for it, so it stops nothing; what makes a comparison
        mean nothing (other inputs, an unsound baseline) does so waived or not.
        """
        for threshold_id in (*gates(judged, metric), *metric.depends_on):
            threshold = self._plan.thresholds.get(threshold_id)
            if threshold is None or (threshold.family == "preflight" and threshold_id in self._waivers):
                continue
            verdict = self._judged(npu, threshold)
            if verdict.status in ("FAIL", "INVALID"):
                blocked = invalid(judged, npu, _cause(threshold_id, verdict))
                return dataclasses.replace(blocked, details={"blocked_by": threshold_id})
        return None

    def _doubt(self, threshold: Threshold, metric: Metric, roles: Roles) -> str | None:
        """Why the instrument cannot tell whether a figure keeps its limit; None when it can."""
        needs = metric.needs(roles).values()
        late = why_client_was_late(self._store, threshold, needs)
        if late is not None or metric.clock is None or not self._calibrated:
            return late
        return why_in_doubt(self._store, self._plan.workload.levels, threshold, metric.clock, needs)


def _cause(threshold_id: str, verdict: Verdict) -> str:
    """One reason for all that rest on the same row, however many rows lie between."""
    if "blocked_by" in verdict.details:
        return verdict.reason
    return say("{threshold_id} does not hold: {reason}", threshold_id=threshold_id, reason=verdict.reason)
