"""Hooks for projects that build on the suite. Implement them in a ``conftest.py``.

Add a prompt set::

    def pytest_gptoss_prompt_sets(config):
        return {"support": "prompts/support.json"}

Change a threshold, or add one with its metric::

    from pytest_gptoss import Estimate, Greedy, Metric, Threshold, sound_items

    def answer_length(*, npu):  # sound_items: a measurement with a failed request is INVALID
        lengths = [item.completion_tokens for item in sound_items(npu, "prompts")]
        return Estimate(max(lengths), "tokens", len(lengths))

    def pytest_gptoss_thresholds(thresholds, metrics):
        metrics["answer_length"] = Metric(
            name="answer_length",
            compute=answer_length,
            needs=lambda roles: {"npu": Greedy(roles.subject)},
        )
        thresholds["ours.answer_length"] = Threshold(
            id="ours.answer_length", family="precision", metric="answer_length", statistic="max",
            comparison="<=", limit=256, unit="tokens", tier="assurance", source="our house rule",
        )

See the finished report document::

    def pytest_gptoss_report(config, document):
        print(document["run"]["verdict"])
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gptoss.judge.metric import Metric
    from pytest_gptoss.model.json_type import Json
    from pytest_gptoss.model.verdicts import Threshold

__all__ = ["pytest_gptoss_prompt_sets", "pytest_gptoss_report", "pytest_gptoss_thresholds"]


@pytest.hookspec()
def pytest_gptoss_prompt_sets(config: pytest.Config) -> Mapping[str, str | Path]:  # type: ignore[empty-body]
    """Return prompt sets to add: name -> file (relative to the root directory)."""


@pytest.hookspec()
def pytest_gptoss_thresholds(thresholds: dict[str, Threshold], metrics: MutableMapping[str, Metric]) -> None:
    """Add or change thresholds and metrics in place, before tests are collected.

    ``metrics`` finds a shipped metric when it is asked for: ``metrics["itl.c16"]``.

    Every report names a shipped threshold that was changed here; one that is taken away is a usage error.
    """


@pytest.hookspec()
def pytest_gptoss_report(config: pytest.Config, document: dict[str, Json]) -> None:
    """See the report document after the run, before it is written; additions are written too."""
