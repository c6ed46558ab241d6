"""What a metric is, and the decorators that declare one beside its function.

A metric with a name of its own::

    @metric("answer_length", needs=lambda roles: {"npu": Greedy(roles.subject)}, statistics=("max",))
    def answer_length(*, npu): ...

Metrics that one function gives for each cell or level that a name may end in (``needle_recall.d025-32k``)
are declared once, with ``metric_family``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

from pytest_gptoss.judge.conditions import Condition
from pytest_gptoss.judge.instrument import Clock
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Scenario

__all__ = ["Compute", "Declaration", "Metric", "Needs", "declare", "declared", "metric", "metric_family"]

Needs: TypeAlias = Callable[[Roles], Mapping[str, Scenario]]
Compute: TypeAlias = Callable[..., Estimate]
_F = TypeVar("_F", bound=Compute)
_T = TypeVar("_T")

_DECLARED = "__gptoss_metrics__"
"""Attribute of a decorated function: what is declared on it, by name."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure and all there is to know before it is measured.

    ``compute`` takes the measurements of ``needs`` by keyword and returns an Estimate; where there are
    several ``statistics``, also the ``statistic`` to gate.
    ``condition``: without this part of a run the row is skipped. ``baseline``: it compares with the GPU, so
    without one it is INVALID. ``depends_on``: threshold ids that must hold; when one FAILs or is INVALID this
    metric means nothing. ``statistics`` names what a threshold may gate, the default first. ``info`` names
    metrics that are measured and printed with it, and never judged.
    ``clock``: a latency, which means nothing where the instrument's own error is too large for the limit.
    ``context`` names what the run knows by itself and hands to ``compute`` by keyword: ``context_needed``
    (tokens that the selected rows need), ``stated`` (the user's facts, by device), ``labels`` (what the user
    calls each device).
    ``fleet``: what it needs is measured on all other nodes of the fleet as well, and handed to ``compute`` as
    ``others``: by node the measurements of ``needs`` by keyword. Nodes that cannot be measured are absent.
    """

    name: str
    compute: Compute
    needs: Needs
    condition: Condition | None = None
    depends_on: tuple[str, ...] = ()
    baseline: bool = False
    statistics: tuple[str, ...] = ()
    info: tuple[str, ...] = ()
    clock: Clock | None = None
    context: tuple[str, ...] = ()
    fleet: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """A metric's name, or that of a family (``ttft.*``), and how to build it.

    ``build`` takes what stands in the place of ``*`` ("" where there is none) and returns None for what the
    family does not know.
    """

    name: str
    build: Callable[[str], Metric | None]


def declared(candidate: object) -> tuple[Declaration, ...]:
    """What the decorators have declared on a function; nothing for any other object."""
    found: Mapping[str, Declaration] = getattr(candidate, _DECLARED, {})
    return tuple(found.values()) if isinstance(found, dict) else ()


def declare(function: Compute, declaration: Declaration) -> None:
    """Add a declaration to a function; raises ValueError when it has one of this name."""
    found: dict[str, Declaration] = vars(function).setdefault(_DECLARED, {})
    if declaration.name in found:
        raise ValueError(f"metric {declaration.name} is declared twice")
    found[declaration.name] = declaration


def metric(
    name: str,
    *,
    needs: Needs,
    condition: Condition | None = None,
    depends_on: tuple[str, ...] = (),
    baseline: bool = False,
    statistics: tuple[str, ...] = (),
    info: tuple[str, ...] = (),
    context: tuple[str, ...] = (),
    arguments: Mapping[str, Any] | None = None,
    fleet: bool = False,
) -> Callable[[_F], _F]:
    """Declare the decorated function as a metric; the function itself stays as it is.

    ``arguments`` are keyword arguments that this metric always passes; the rest is as in ``Metric``.
    """

    def declaring(function: _F) -> _F:
        built = Metric(
            name,
            partial(function, **arguments) if arguments else function,
            needs,
            condition=condition,
            depends_on=depends_on,
            baseline=baseline,
            statistics=statistics,
            info=info,
            context=context,
            fleet=fleet,
        )
        declare(function, Declaration(name, lambda _: built))
        return function

    return declaring


def metric_family(
    prefix: str,
    *,
    of: Callable[[str], _T | None],
    needs: Callable[[Roles, _T], Mapping[str, Scenario]],
    depends_on: Callable[[_T], tuple[str, ...]] = lambda _: (),
    baseline: bool = False,
    statistics: tuple[str, ...] = (),
    info: Callable[[_T], tuple[str, ...]] = lambda _: (),
    clock: Clock | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Callable[[_F], _F]:
    """Declare the decorated function as a metric for each thing that ``PREFIX.`` may be followed by.

    ``of`` reads what stands behind the dot and returns None for what is no such thing; ``needs``,
    ``depends_on`` and ``info`` take what it returns.
    """

    def declaring(function: _F) -> _F:
        compute = partial(function, **arguments) if arguments else function

        def build(text: str) -> Metric | None:
            read = of(text)
            if read is None:
                return None
            return Metric(
                f"{prefix}.{text}",
                compute,
                lambda roles: needs(roles, read),
                depends_on=depends_on(read),
                baseline=baseline,
                statistics=statistics,
                info=info(read),
                clock=clock,
            )

        declare(function, Declaration(f"{prefix}.*", build))
        return function

    return declaring
