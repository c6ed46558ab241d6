"""What several metrics need, by role, as ``judge.metric`` takes it."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.judge.metric import Needs
from pytest_gptoss.judge.roles import Roles, gpu_of
from pytest_gptoss.scenarios.kinds import Feature, FeatureName, Greedy, Preflight, Scenario

__all__ = ["both_facts", "feature", "npu_facts", "questions"]


def npu_facts(roles: Roles) -> Mapping[str, Scenario]:
    """What the device under test says of itself."""
    return {"npu": Preflight(roles.subject)}


def both_facts(roles: Roles) -> Mapping[str, Scenario]:
    """What the device under test and the baseline say of themselves; raises ValueError without one."""
    return {"npu": Preflight(roles.subject), "gpu": Preflight(gpu_of(roles))}


def feature(name: FeatureName) -> Needs:
    """The requests of one feature, sent to the device under test."""
    return lambda roles: {"npu": Feature(roles.subject, name)}


def questions(key: str, **others: FeatureName) -> Needs:
    """The short questions as chat answers them, streamed, and the same in other ways."""
    return lambda roles: {
        key: Greedy(roles.subject, "features"),
        **{name: Feature(roles.subject, feature) for name, feature in others.items()},
    }
