"""A feature that is tried has a name, items and a request; what is forgotten is named here."""

import asyncio
import contextlib
from typing import get_args

import pytest

from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.judge.thresholds import load_profile, profile_names
from pytest_gptoss.model.errors import RequestError
from pytest_gptoss.scenarios.features import FeatureTrial, item_ids
from pytest_gptoss.scenarios.kinds import Feature, FeatureName
from pytest_gptoss.scenarios.prompts import load_shipped

ROLES = Roles(subject="tp8", gpu="gpu", cpu="cpu", first="tp1")
QUESTIONS = load_shipped("features")
ROWS = [row for name in profile_names() for row in load_profile(name).thresholds.values()]


def _needed():
    """The features that rows of family "capability" need."""
    metrics = [metric_named(row.metric) for row in ROWS if row.family == "capability"]
    needs = [need for metric in metrics for need in metric.needs(ROLES).values()]
    return {need.feature for need in needs if isinstance(need, Feature)}


class NoServer:
    """A client whose server cannot be reached."""

    def __getattr__(self, name):
        async def refuse(*_, **__):
            raise RequestError("no server")

        return refuse


def test_every_feature_that_a_row_needs_has_a_name():
    unnamed = sorted(_needed() - set(get_args(FeatureName)))
    assert not unnamed, f"FeatureName lacks {', '.join(unnamed)}"


@pytest.mark.parametrize("feature", get_args(FeatureName))
def test_every_feature_has_items_and_a_request(feature):
    trial = FeatureTrial(Feature("npu", feature), NoServer(), QUESTIONS, max_tokens=8, context=None)
    for item_id in item_ids(feature, QUESTIONS):
        with contextlib.suppress(RequestError):
            asyncio.run(trial.ask(item_id))
