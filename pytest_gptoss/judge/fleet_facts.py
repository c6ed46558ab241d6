"""What the nodes of a fleet say of themselves, and which of them differs from the majority."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.fleet_nodes import Node
from pytest_gptoss.model.subjects import ServerFacts

__all__ = ["Facts", "Majority", "facts_of", "majorities"]

Facts: TypeAlias = Mapping[str, str]
"""A node's facts by name, those that it tells."""


@dataclass(frozen=True, slots=True)
class Majority:
    """A fact that most nodes tell: ``value`` of more than half of those, None where no value has so many."""

    name: str
    value: str | None


def facts_of(node: Node) -> Facts:
    """What a node told before anything was measured."""
    told: ServerFacts = sound_items(node["facts"], "servers")[0]
    named = {
        "version": told.version,
        "model": told.model,
        "max_model_len": told.max_model_len,
        "harmony_date": told.harmony_date,
        **{fact.name: fact.value for fact in told.known},
    }
    return {name: str(value) for name, value in named.items() if value is not None}


def majorities(nodes: Mapping[str, Facts]) -> list[Majority]:
    """The facts that more than half of the nodes tell, in the order of their names."""
    found = []
    for name in sorted({name for facts in nodes.values() for name in facts}):
        values = Counter(facts[name] for facts in nodes.values() if name in facts)
        told = sum(values.values())
        if 2 * told > len(nodes):
            value, most = values.most_common(1)[0]
            found.append(Majority(name, value if 2 * most > told else None))
    return found
