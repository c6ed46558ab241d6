"""What the report document knows of the measuring client's own error, and where it knows nothing of it."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.json_type import Json

__all__ = ["calibrated", "of_workers", "uncalibrated"]

Document = Mapping[str, Json]


def calibrated(document: Document) -> list[Mapping[str, Json]]:
    """The calibrated error of each load level, as far as it was calibrated; the lowest first."""
    told = [
        *(_instrument(document).get("errors") or ()),
        *(level["instrument"] for level in _levels(document)),
    ]
    errors = {error["concurrency"]: error for error in told if error and "ttft_bias_ms" in error}
    return [errors[concurrency] for concurrency in sorted(errors)]


def of_workers(document: Document) -> list[Mapping[str, Json]]:
    """Each Ray worker's error with its ``level`` and ``worker``; none without a cluster."""
    return list(_instrument(document).get("workers") or ())


def uncalibrated(document: Document) -> list[str]:
    """Why the instrument's error is not known: of the run, or of a level."""
    found = [_instrument(document).get("problem")]
    for level in _levels(document):
        problem = level["instrument"].get("problem")
        found.append(problem and f"{level['level']}: {problem}")
    return list(dict.fromkeys(problem for problem in found if problem))


def _instrument(document: Document) -> Mapping[str, Json]:
    found: Mapping[str, Json] = _load(document).get("instrument") or {}
    return found


def _levels(document: Document) -> list[Mapping[str, Json]]:
    return [level for level in _load(document).get("levels") or () if level.get("instrument")]


def _load(document: Document) -> Mapping[str, Json]:
    found: Mapping[str, Json] = document["measurements"].get("load") or {}
    return found
