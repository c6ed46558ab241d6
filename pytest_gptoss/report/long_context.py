"""``long_context_report.json``: every needle cell that was asked, and how its first token grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from pytest_gptoss.records import Json

__all__ = ["long_context_report"]


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
        "first_token_growth": _growth(hidden),
    }


def _cell(cell: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in cell.items() if name != "control"}


def _growth(cells: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Per device, from each length to the next: how many times the tokens, how many times the wait."""
    growth = []
    for device in dict.fromkeys(cell["device"] for cell in cells):
        timed = [cell for cell in cells if cell["device"] == device and cell["first_token_ms"]]
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
