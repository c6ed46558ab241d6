"""What the nodes of a fleet told: the subject's trouble is its own, that of others leaves them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement

__all__ = ["LEAST_OTHERS", "Node", "Nodes", "nodes_of", "require_others"]

LEAST_OTHERS = 2
"""Of two nodes that differ nobody can say which one is odd."""

Node: TypeAlias = Mapping[str, Measurement[Any]]
Told = TypeVar("Told")

_MOST_KNOWN = 512
"""More than the nodes of the largest fleet times what is read of each."""
_KNOWN: dict[tuple[object, ...], tuple[Node, Any]] = {}


@dataclass(frozen=True, slots=True)
class Nodes(Generic[Told]):
    """``told`` has what each node that can be compared told, the subject's too, in the order of their names.

    ``left_out``: why other nodes cannot be compared, by name.
    """

    subject: str
    told: Mapping[str, Told]
    left_out: Mapping[str, str]


def nodes_of(own: Node, others: Mapping[str, Node], read: Callable[[Node], Told]) -> Nodes[Told]:
    """Read all nodes; those of which ``read`` raises InsufficientData are left out.

    ``read`` is a function of its module: what it made of a node is remembered for the rows of other nodes.
    Raises InsufficientData of the subject itself, and where fewer than ``LEAST_OTHERS`` others are left.
    """
    subject = next(iter(own.values())).device
    told = {subject: _remembered(read, own)}
    left_out: dict[str, str] = {}
    for name in sorted(others):
        _read(name, others[name], read, told, left_out)
    # By name: the order in which nodes are listed must not decide anything.
    found = Nodes(subject, {name: told[name] for name in sorted(told)}, left_out)
    require_others(found)
    return found


def _read(
    name: str, node: Node, read: Callable[[Node], Told], told: dict[str, Told], left_out: dict[str, str]
) -> None:
    try:
        told[name] = _remembered(read, node)
    except InsufficientData as reason:
        left_out[name] = str(reason)


def _remembered(read: Callable[[Node], Told], node: Node) -> Told:
    """What ``read`` makes of a node, computed once: without, the time grows with the square of the nodes.

    Measurements are told apart by their identity; the nodes are kept, so that it stays theirs.
    """
    key = (read, *map(id, node.values()))
    if key not in _KNOWN:
        if len(_KNOWN) == _MOST_KNOWN:
            del _KNOWN[next(iter(_KNOWN))]
        _KNOWN[key] = (node, _outcome(read, node))
    found = _KNOWN[key][1]
    if isinstance(found, InsufficientData):
        raise found.with_traceback(None)
    told: Told = found
    return told


def _outcome(read: Callable[[Node], Told], node: Node) -> Told | InsufficientData:
    try:
        return read(node)
    except InsufficientData as reason:
        return reason


def require_others(nodes: Nodes[Any]) -> None:
    """Raise InsufficientData where fewer than ``LEAST_OTHERS`` other nodes can be compared."""
    count = len(nodes.told) - 1
    if count >= LEAST_OTHERS:
        return
    why = next((f"{name}: {reason}" for name, reason in sorted(nodes.left_out.items())), "")
    raise InsufficientData(
        say(
            "{subject} can be compared with {count} other nodes of the fleet, and {least} are needed{why}",
            subject=nodes.subject,
            count=count,
            least=LEAST_OTHERS,
            why=say("; first {why}", why=why) if why else "",
        )
    )
