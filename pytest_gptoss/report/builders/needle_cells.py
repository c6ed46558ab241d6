"""Needle cells as reports draw them, from the store: also those whose verdict is INVALID, and the GPU's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

from pytest_gptoss.judge.answer_text import answer_text
from pytest_gptoss.judge.metrics.needle import outcome_of
from pytest_gptoss.judge.needle_cells import Cell, cells_of, full_grid
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.results import Measurement, NeedleAnswer
from pytest_gptoss.model.verdicts import Threshold
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Needle
from pytest_gptoss.scenarios.needle_prompt import planned_tokens

__all__ = ["needle_cells"]

_WORST_FIRST = ("out_of_memory", "timeout", "rejected", "truncated", "cut", "miss")


def needle_cells(
    store: Store, devices: Iterable[str], thresholds: Iterable[Threshold]
) -> list[dict[str, Json]]:
    """Every needle scenario in the store, device by device, shortest first, controls last."""
    rows = tuple(thresholds)
    ids, cells = {row.metric: row.id for row in rows}, full_grid(cells_of(rows))
    return [row for device in devices for row in _of_device(store, device, ids, cells)]


def _of_device(
    store: Store, device: str, ids: dict[str, str], cells: Iterable[Cell]
) -> Iterator[dict[str, Json]]:
    for control in (False, True):
        for cell in cells:
            scenario = cell.scenario(device, control=control)
            measurement = store.load(scenario.id)
            if measurement is not None:
                metric = f"needle_{'control' if control else 'recall'}.{cell.name}"
                yield _row(measurement, scenario, ids.get(metric))


def _row(measurement: Measurement[Any], scenario: Needle, threshold_id: str | None) -> dict[str, Json]:
    answers: tuple[NeedleAnswer, ...] = measurement.items
    outcomes = [outcome_of(answer) for answer in answers]
    waits = [answer.first_token_ms for answer in answers if answer.first_token_ms is not None]
    counted = [answer.prompt_tokens for answer in answers if answer.prompt_tokens is not None]
    cached = [answer.cached_tokens for answer in answers if answer.cached_tokens is not None]
    troubles = [answer.message for answer in answers if answer.message]
    troubles += [failure.message for failure in measurement.failures]
    troubles += measurement.left_out.values()
    return {
        "threshold_id": threshold_id,
        "device": scenario.device,
        "control": scenario.control,
        "depth": scenario.depth,
        "length": scenario.length,
        "planned_tokens": planned_tokens(scenario.length),
        "prompt_tokens": counted[0] if counted else None,
        "achieved_depth": answers[0].depth if counted else None,
        "trials": len(answers),
        "hits": outcomes.count("hit"),
        "answers": [answer_text(answer).final for answer in answers],
        "first_token_ms": median(waits) if waits else None,
        "cached_tokens": max(cached) if cached else None,
        "outcome": next((each for each in _WORST_FIRST if each in outcomes), "hit" if outcomes else None),
        "reason": troubles[0] if troubles else None,
    }
