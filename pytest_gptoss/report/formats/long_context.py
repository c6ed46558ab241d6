"""``long_context_report.json``: every needle cell that was asked, first-token growth, position drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from pytest_gptoss.judge.metrics.needle import FRAME_AT_MOST
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.format import Format

__all__ = ["FORMAT", "first_token_growth", "long_context_report"]

_DRIFT_DETAILS = ("reach", "near", "far", "grows", "spots", "points", "absent")


def long_context_report(document: Mapping[str, Json]) -> dict[str, Json]:
    """The long-context part of the report document, in the form the document's own script names."""
    task: Mapping[str, Json] = document["run"]["needle"]
    cells: Sequence[Mapping[str, Json]] = document["measurements"].get("needles", [])
    hidden = [cell for cell in cells if not cell["control"]]
    return {
        "schema_version": document["schema_version"],
        "state": document["state"],
        "needle": task["needle"],
        "question": task["question"],
        "expect": task["expect"],
        "seed": task["seed"],
        "cells": [_cell(cell) for cell in hidden],
        "controls": [_cell(cell) for cell in cells if cell["control"]],
        "first_token_growth": first_token_growth(hidden),
        "position_drift": [
            _drift(row)
            for row in document["measurements"].get("info", [])
            if row["name"].startswith("position_drift.")
        ],
    }


def _cell(cell: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in cell.items() if name != "control"}


def _drift(row: Mapping[str, Json]) -> dict[str, Json]:
    """What is known of a device's drift from the baseline; all but the finding is null where nothing is."""
    details: Mapping[str, Json] = row["details"]
    return {
        "device": row["device"],
        "slope": row["value"],
        "unit": row["unit"],
        "n": row["n"],
        "ci": row["ci"],
        **{name: details.get(name) for name in _DRIFT_DETAILS},
        "finding": row["finding"],
    }


def _prefilled(cell: Mapping[str, Json]) -> bool:
    whole = cell["outcome"] in ("hit", "miss", "cut")
    timed = bool(cell["first_token_ms"]) and bool(cell["prompt_tokens"])
    return whole and timed and (cell.get("cached_tokens") or 0) <= FRAME_AT_MOST


def first_token_growth(cells: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Per device, from each length to the next: how many times the tokens, how many times the wait.

    A prompt that lost tokens on its way or came from the prefix cache was not prefilled, and is left out.
    """
    growth = []
    for device in dict.fromkeys(cell["device"] for cell in cells):
        timed = [cell for cell in cells if cell["device"] == device and _prefilled(cell)]
        # At one length the cells of a full grid differ by depth only: the first stands for them.
        by_length = {cell["length"]: cell for cell in reversed(timed)}
        steps = [by_length[length] for length in sorted(by_length)]
        growth += [
            {
                "device": device,
                "from": before["length"],
                "to": after["length"],
                "prompt_tokens": after["prompt_tokens"] / before["prompt_tokens"],
                "first_token_ms": after["first_token_ms"] / before["first_token_ms"],
            }
            for before, after in pairwise(steps)
        ]
    return growth


FORMAT = Format(
    name="json",
    file="long_context_report.json",
    render=lambda source: long_context_report(source.document),
    schema="long-context-report-1.schema.json",
)
