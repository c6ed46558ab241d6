"""What the document says of open levels beside what it says of every level."""

from __future__ import annotations

from dataclasses import asdict

from pytest_gptoss.judge.goodput import kept
from pytest_gptoss.judge.in_flight import in_flight
from pytest_gptoss.model.arrivals import Arrivals
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.results import LoadLevel

__all__ = ["arrivals_part", "open_part"]


def arrivals_part(shape: LoadShape) -> dict[str, Json]:
    """The rate and the law of arrivals of an open level; nothing of a closed one."""
    if shape.arrivals is None:
        return {}
    return {"rate": shape.arrivals.rate, "arrivals": _law(shape.arrivals)}


def open_part(level: LoadLevel) -> dict[str, Json]:
    """Goodput of a level with a service level, and of an open one the requests in flight over time."""
    found: dict[str, Json] = {}
    slo = level.shape.slo
    if slo is not None and slo.is_set:
        within = kept(level)
        found |= {"slo": asdict(slo), **({"goodput": sum(within) / len(within)} if within else {})}
    if level.shape.arrivals is not None:
        timeline = in_flight(level)
        found["timeline"] = None if timeline is None else asdict(timeline)
    return found


def _law(arrivals: Arrivals) -> str:
    """The law as ``--gptoss-arrivals`` writes it."""
    return f"gamma:{arrivals.cv:g}" if arrivals.law == "gamma" else arrivals.law
