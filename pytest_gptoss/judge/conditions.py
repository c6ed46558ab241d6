"""Parts that a run may lack, and what to say when one is absent: the row is then skipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.message import say

__all__ = ["CPU", "FIRST", "FLEET", "GPU", "GPU_CHAT", "PEER", "Condition", "condition_names"]


@dataclass(frozen=True, slots=True)
class Condition:
    """What a metric needs of a run beside the device under test.

    ``absent(roles)`` returns what is absent and how to add it, in a line; None when nothing is.
    ``others(roles)`` returns the devices that such a verdict is also about.
    """

    name: str
    absent: Callable[[Roles], str | None]
    others: Callable[[Roles], tuple[str | None, ...]] = lambda _: ()


def condition_names() -> tuple[str, ...]:
    """What the conditions of this module are imported by, in the order of the alphabet."""
    return tuple(sorted(name for name, each in globals().items() if isinstance(each, Condition)))


def _no_cpu(roles: Roles) -> str | None:
    return None if roles.cpu else say("no CPU reference: add --cpu-url URL or --gptoss-cpu-model DIR")


def _compared_with_each_other() -> str:
    return say("the nodes of a fleet are compared with each other, in the rows of the family fleet")


def _no_fleet(roles: Roles) -> str | None:
    return None if roles.fleet else say("no fleet: name its nodes with --gptoss-fleet FILE")


def _no_gpu(roles: Roles) -> str | None:
    return None if roles.gpu else say("no baseline to look at: add --gpu-url URL")


def _no_gpu_chat(roles: Roles) -> str | None:
    if roles.gpu and roles.prompt_ids_of is not None:
        return say("the baseline's own prompt ids are sent to every device (--gptoss-inputs token-ids)")
    return _no_gpu(roles)


def _no_peer(roles: Roles) -> str | None:
    if roles.fleet is not None and roles.gpu is None:
        return _compared_with_each_other()
    return None if roles.gpu or roles.first else say("no other device to compare with: add --gpu-url URL")


def _no_first(roles: Roles) -> str | None:
    if roles.fleet is not None:
        return _compared_with_each_other()
    return None if roles.first else say("the first device under test is what the others are compared with")


CPU = Condition("cpu", _no_cpu)
"""A CPU reference."""
FLEET = Condition("fleet", _no_fleet)
"""The other nodes of a fleet."""
GPU = Condition("gpu", _no_gpu, lambda roles: (roles.gpu,))
"""A baseline."""
GPU_CHAT = Condition("gpu chat", _no_gpu_chat, lambda roles: (roles.gpu,))
"""A baseline that renders chat itself."""
FIRST = Condition("first", _no_first, lambda roles: (roles.first,))
"""Another device under test that came first."""
PEER = Condition("peer", _no_peer, lambda roles: (roles.first, roles.gpu, roles.cpu))
"""Any device to compare with."""
