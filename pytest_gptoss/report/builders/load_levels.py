"""Load levels as reports draw them, from the store: every device's, sound or not, with notes in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from pytest_gptoss.config.plan import Plan
from pytest_gptoss.judge.accounting import (
    SEVERAL_TOKENS,
    tokens_per_event,
    why_first_is_late,
    why_unaccounted,
)
from pytest_gptoss.judge.arrivals import why_buffered
from pytest_gptoss.judge.cross_check import disagreements, server_ttft_ms
from pytest_gptoss.judge.effective_number import effective_number
from pytest_gptoss.judge.instrument import why_overloaded
from pytest_gptoss.judge.littles_law import contradictions
from pytest_gptoss.judge.load import (
    FIGURES,
    Span,
    distribution,
    full_window,
    gaps,
    in_order,
    whole_run,
    why_incomplete,
)
from pytest_gptoss.model.errors import DamagedFile
from pytest_gptoss.model.inputs import LoadShape, LoadTask
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import joined, say
from pytest_gptoss.model.results import (
    Failure,
    InstrumentError,
    LoadLevel,
    LoopHealth,
    Measurement,
    RequestTiming,
)
from pytest_gptoss.report.builders.open_levels import arrivals_part, open_part
from pytest_gptoss.run.instrument import instrument_errors, instrument_problems, worker_errors
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Load
from pytest_gptoss.scenarios.load_plan import changes

__all__ = ["load_levels", "load_requests"]

BUSY = 0.9
"""Share of one core from which on the client itself may be what is slow."""


def load_levels(store: Store, plan: Plan, *, devices: Sequence[str], task: LoadTask) -> dict[str, Json]:
    """The load part of the report document: ``levels``, ``instrument`` and ``notes``.

    Levels stand by concurrency, open ones behind them by rate, each device's below one another, trial by
    trial.
    """
    errors, problems, damaged = _instrument(store)
    found = list(_measured(store, plan, devices, task.trials))
    problem = damaged or (None if errors else joined(dict.fromkeys(problems.values())) or None)
    if problem is None and found and not task.calibrate:
        problem = say("not calibrated: --gptoss-no-calibration was given")
    shapes = {scenario.level: plan.workload.levels[scenario.level] for scenario, _ in found}
    limit = _ttft_limit_ms(plan)
    notes = [note for scenario, each in found for note in _notes(scenario, each, errors, limit)]
    return {
        "levels": [_row(scenario, each, shapes[scenario.level], errors) for scenario, each in found],
        "instrument": {
            "errors": [asdict(error) for error in errors.values()],
            "problem": problem,
            **_workers(store),
        },
        "notes": [
            *notes,
            *(
                say("{level}: the instrument could not be calibrated: {why}", level=level, why=why)
                for level, why in problems.items()
                if errors
            ),
            *contradictions(plan.thresholds.values(), shapes),
            *changes(plan.profile.workload.levels, shapes),
            *(_other_statistics(plan) if found else ()),
        ],
    }


def _instrument(store: Store) -> tuple[Mapping[str, InstrumentError], Mapping[str, str], str | None]:
    """The instrument's errors and problems by level, and why neither can be read, if so."""
    try:
        return instrument_errors(store), instrument_problems(store), None
    except DamagedFile as error:
        return {}, {}, str(error)


def _workers(store: Store) -> dict[str, Json]:
    """What each worker of a Ray cluster found of its instrument on its own node; empty without a cluster."""
    try:
        found = worker_errors(store)
    except DamagedFile:  # the level's own error tells that it is measured again
        return {}
    rows = [
        {"level": level, "worker": worker, **asdict(error)}
        for level, workers in found.items()
        for worker, error in workers
    ]
    return {"workers": rows} if rows else {}


def _other_statistics(plan: Plan) -> Iterator[str]:
    """Rows that are judged by another statistic than the guide's: a limit on a minimum proves little."""
    for row in plan.thresholds.values():
        known = plan.metrics[row.metric].statistics
        if row.family == "performance" and len(known) > 1 and row.statistic != known[0]:
            yield say(
                "{id} is judged by its {statistic}, as the thresholds file says",
                id=row.id,
                statistic=row.statistic,
            )


def load_requests(
    store: Store, plan: Plan, *, devices: Sequence[str], task: LoadTask
) -> Iterator[dict[str, Json]]:
    """Every measured request of every level, with its stamps, as the benchmark report lists them."""
    for scenario, measurement in _measured(store, plan, devices, task.trials):
        for level in measurement.items:
            for request in level.requests:
                yield _request(scenario, level, request)


def _measured(
    store: Store, plan: Plan, devices: Sequence[str], trials: int
) -> Iterator[tuple[Load, Measurement[Any]]]:
    for level in plan.workload.levels:
        for device in devices:
            for trial in range(trials):
                scenario = Load(device, level, trial)
                measurement = store.load(scenario.id)
                if measurement is not None:
                    yield scenario, measurement


def _row(
    scenario: Load, measurement: Measurement[Any], shape: LoadShape, errors: Mapping[str, InstrumentError]
) -> dict[str, Json]:
    error = errors.get(scenario.level)
    row: dict[str, Json] = {
        "device": scenario.device,
        "level": scenario.level,
        "concurrency": shape.concurrency if shape.arrivals is None else None,
        **arrivals_part(shape),
        "trial": scenario.trial,
        "complete": measurement.complete and not measurement.failures and not measurement.left_out,
        "reason": _reason(measurement),
        "instrument": None if error is None else asdict(error),
    }
    return {**row, **(_figures(measurement.items[0]) if measurement.items else {})}


def _reason(measurement: Measurement[Any]) -> str | None:
    failures: tuple[Failure, ...] = measurement.failures
    if failures:
        return failures[0].message
    if measurement.left_out:
        return next(iter(measurement.left_out.values()))
    return None if measurement.complete else say("measuring stopped early")


def _figures(level: LoadLevel) -> dict[str, Json]:
    shape = level.shape
    sound = [each for each in in_order(level) if why_incomplete(each, shape) is None]
    whole, full = whole_run(level), None if shape.arrivals is not None else full_window(level)
    return {
        "num_requests": shape.requests,
        "prompt_tokens": shape.prompt_tokens,
        "max_tokens": shape.max_tokens,
        "endpoint": shape.endpoint,
        "completed": len(sound),
        "failed": len(level.requests) - len(sound),
        **_spread(sound, shape),
        "itl_ms": distribution([gap for each in sound for gap in gaps(each)], independent=False),
        "tokens_per_event": tokens_per_event(sound),
        "seconds": None if whole is None else whole.seconds,
        "throughput_tok_s": None if whole is None else whole.throughput,
        "qps": None if whole is None else whole.qps,
        "full_concurrency": _span(full),
        "rtt_ms": median(level.rtt_ms) if level.rtt_ms else None,
        "client": None if level.health is None else _client(level.health),
        "server": None if level.server is None else {**level.server, "ttft_ms": server_ttft_ms(level)},
        "frame_tokens": level.frame_tokens,
        **open_part(level),
    }


def _spread(sound: Sequence[RequestTiming], shape: LoadShape) -> dict[str, Json]:
    """The distribution of each figure that requests have one of, in order of arrival."""
    opened = shape.arrivals is not None
    spread: dict[str, Json] = {}
    for name, figure in FIGURES.items():
        values = [value for each in sound if (value := figure(each)) is not None]
        if opened or name != "send_delay":
            effective = effective_number(values) if opened and values else None
            spread[f"{name}_ms"] = distribution(values, effective=effective)
    return spread


def _client(health: LoopHealth) -> dict[str, Json]:
    """How the client kept up; what tells of several processes or machines only where there were several."""
    return {name: each for name, each in asdict(health).items() if each not in ((), None)}


def _span(span: Span | None) -> Json:
    if span is None:
        return None
    return {"seconds": span.seconds, "throughput_tok_s": span.throughput, "qps": span.qps}


def _ttft_limit_ms(plan: Plan) -> float | None:
    """The tightest limit on a time to first token, ms; None where the table has none."""
    limits = [row.limit for row in plan.thresholds.values() if row.metric.startswith("ttft.")]
    return min(limits, default=None)


def _notes(
    scenario: Load,
    measurement: Measurement[Any],
    errors: Mapping[str, InstrumentError],
    ttft_limit_ms: float | None,
) -> Iterator[str]:
    where = f"{scenario.device} {scenario.level}"
    for level in measurement.items:
        if not measurement.complete or any(why_incomplete(each, level.shape) for each in level.requests):
            continue
        error = errors.get(scenario.level)
        for check in (why_unaccounted, why_buffered, why_first_is_late):
            why = check(level)
            if why is not None:
                yield f"{where}: {why}"
        per_event = tokens_per_event(level.requests)
        if per_event is not None and per_event >= SEVERAL_TOKENS:
            yield say(
                "{where}: ITL is per event, which carries {per_event:.1f} tokens on average",
                where=where,
                per_event=per_event,
            )
        for text in disagreements(level, error):
            yield f"{where}: {text}"
        overloaded = why_overloaded(level.health, error, ttft_limit_ms=ttft_limit_ms)
        if overloaded is not None:
            yield f"{where}: {overloaded}"
        if level.health is not None and level.health.clock_error_ms is not None:
            yield say(
                "{where}: {workers} workers on a Ray cluster put the load; their clocks are known to "
                "{error_ms:.2f} ms, by which the window of throughput and QPS may be off; latencies are each "
                "measured on one clock",
                where=where,
                workers=max(1, len(level.health.cpu_shares)),
                error_ms=level.health.clock_error_ms,
            )
        if level.health is not None and level.health.cpu_share > BUSY:
            yield (
                say(
                    "{where}: the client used {cpu_share:.0%} of a core: it may be what is slow, "
                    "measure from a machine with an idle core",
                    where=where,
                    cpu_share=level.health.cpu_share,
                )
            )


def _request(scenario: Load, level: LoadLevel, request: RequestTiming) -> dict[str, Json]:
    return {
        "id": request.id,
        "device": scenario.device,
        **_place(scenario, level, request),
        "trial": scenario.trial,
        "start_ns": request.start_ns,
        "sent_ns": request.sent_ns,
        "first_text_ns": request.first_text_ns,
        "end_ns": request.end_ns,
        "token_ns": list(request.token_ns),
        "tokens": list(request.tokens),
        "prompt_tokens": request.prompt_tokens,
        "completion_tokens": request.completion_tokens,
        "cached_tokens": request.cached_tokens,
        "finish_reason": request.finish_reason,
        "error": None if request.error is None else asdict(request.error),
    }


def _place(scenario: Load, level: LoadLevel, request: RequestTiming) -> dict[str, Json]:
    """What tells a request's level: its concurrency, or of an open one its name and the intended send."""
    if level.shape.arrivals is None:
        return {"concurrency": level.shape.concurrency}
    return {"concurrency": None, "level": scenario.level, "intended_ns": request.intended_ns}
