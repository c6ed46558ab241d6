"""Rows of a fleet: each node is compared with the others, which are the baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pytest_gptoss.judge.conditions import FLEET
from pytest_gptoss.judge.fleet_answers import Departure, departures, first_answers, likeliest_node
from pytest_gptoss.judge.fleet_chance import ROW_LEVEL
from pytest_gptoss.judge.fleet_distances import Distance, distances, of_like_passages, passages_of
from pytest_gptoss.judge.fleet_facts import facts_of, majorities
from pytest_gptoss.judge.fleet_nodes import Node, Nodes, nodes_of
from pytest_gptoss.judge.fleet_repeats import Repeats, found_rate, repeats
from pytest_gptoss.judge.fleet_speed import Excess, Figure, Rounds, excesses
from pytest_gptoss.judge.fleet_speed import rounds_of as figures_of
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles, fleet_of
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.fleet import FALSE_ALARM
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import joined, listed, say
from pytest_gptoss.model.results import LoadLevel, Measurement, ScoredSequence, StressAnswer
from pytest_gptoss.model.subjects import ServerFacts
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Passages, Preflight, Scenario
from pytest_gptoss.scenarios.kinds.canaries import rounds_of
from pytest_gptoss.scenarios.kinds.canaryanswers import answers_by

__all__ = ["fleet_answers", "fleet_configuration", "fleet_logprobs", "fleet_repeat", "fleet_speed"]

Others = Mapping[str, Node]

_FIGURES: Mapping[Figure, Callable[[Node], Rounds]] = {
    "ttft": partial(figures_of, figure="ttft"),
    "tpot": partial(figures_of, figure="tpot"),
}


def _passages(roles: Roles) -> Mapping[str, Scenario]:
    return {"passages": Passages(roles.subject)}


def _answers(roles: Roles) -> Mapping[str, Scenario]:
    return {"answers": answers_by(roles.subject, fleet_of(roles))}


def _rounds(roles: Roles) -> Mapping[str, Scenario]:
    return {f"round_{each.round}": each for each in rounds_of(roles.subject, fleet_of(roles))}


def _facts(roles: Roles) -> Mapping[str, Scenario]:
    return {"facts": Preflight(roles.subject)}


# -- answers --------------------------------------------------------------------------------------


@metric("fleet_answers", needs=_answers, condition=FLEET, statistics=("count",), fleet=True)
def fleet_answers(*, answers: Measurement[StressAnswer], others: Others) -> Estimate:
    """Answers of the first round that depart from the medoid's for no near tie, over the canaries.

    The medoid is the node whose answers depart least from those of all nodes. Raises InsufficientData where
    an answer did not come that the medoid gave: it says nothing of how the node computes. Details:
    ``medoid``, ``nodes``, ``left_out`` and ``departures``, the first token of each first.
    """
    nodes = nodes_of({"answers": answers}, others, first_answers)
    medoid = likeliest_node(nodes.told, nodes.subject)
    ours, theirs = nodes.told[nodes.subject], nodes.told[medoid]
    _refuse_lost(answers, sorted({*theirs} - {*ours}))
    found = departures(ours, theirs)
    canaries = len({*ours} & {*theirs})
    details = {
        **_compared(nodes),
        "medoid": medoid,
        "departures": [each.row() for each in found],
        "finding": _departs(found, canaries, medoid),
    }
    return Estimate(len(found), "answers", canaries, details=details)


def _refuse_lost(answers: Measurement[StressAnswer], lost: Sequence[str]) -> None:
    if lost:
        raise InsufficientData(
            say(
                "{device} gave no answer to {lost} canaries that could be compared, first {first}: {why}",
                device=answers.device,
                lost=len(lost),
                first=lost[0],
                why=answers.left_out.get(lost[0], say("nothing is known of it")),
            )
        )


def _departs(found: Sequence[Departure], canaries: int, medoid: str) -> str:
    if not found:
        return say(
            "all {canaries} canary answers are those of {medoid} but for near ties",
            canaries=canaries,
            medoid=medoid,
        )
    head = say(
        "{departed} of {canaries} canary answers depart from those of {medoid}",
        departed=len(found),
        canaries=canaries,
        medoid=medoid,
    )
    return joined([head, _first(found[0])])


def _first(first: Departure) -> str:
    if first.index is None:
        return say("first {answer}: {kind}", answer=first.answer, kind=first.kind)
    if first.margin is None:
        return say(
            "first {answer}, where one answer ends at token {index} and the other goes on",
            answer=first.answer,
            index=first.index,
        )
    return say(
        "first {answer}, from token {index} on: {token} here, {theirs} there, by {margin:.3g} nat",
        answer=first.answer,
        index=first.index,
        token=first.ours,
        theirs=first.theirs,
        margin=first.margin,
    )


# -- log-probabilities ----------------------------------------------------------------------------


@metric("fleet_logprobs", needs=_passages, condition=FLEET, statistics=("spreads",), fleet=True)
def fleet_logprobs(*, passages: Measurement[ScoredSequence], others: Others) -> Estimate:
    """Mean absolute difference of log-probabilities from the medoid's, over the fleet's spread.

    Details: ``distance`` and ``spread`` in nats, ``medoid``, ``nodes``, ``left_out``, ``p`` (after Holm).
    """
    nodes = of_like_passages(nodes_of({"passages": passages}, others, passages_of))
    found = distances({name: each.logprobs for name, each in nodes.told.items()})[nodes.subject]
    details = {
        **_compared(nodes),
        "medoid": found.medoid,
        "distance": found.nats,
        "spread": found.spread,
        "p": found.adjusted,
        "finding": _far(found),
    }
    return Estimate(
        found.spreads,
        "spreads",
        found.tokens,
        details=details,
        significant_from=found.significant_from,
    )


def _far(found: Distance) -> str:
    return say(
        "{nats:.3g} nat from {medoid} in the mean over {tokens} tokens; the fleet's spread is {spread:.3g} "
        "nat, and chance reaches {limit:.3g} nat in fewer than {alarm:.0%} of sound fleets",
        nats=found.nats,
        medoid=found.medoid,
        tokens=found.tokens,
        spread=found.spread,
        limit=found.significant_from * found.spread,
        alarm=FALSE_ALARM,
    )


# -- speed ----------------------------------------------------------------------------------------


@metric(
    "fleet_ttft",
    needs=_rounds,
    condition=FLEET,
    statistics=("relative",),
    fleet=True,
    arguments={"figure": "ttft"},
)
@metric(
    "fleet_tpot",
    needs=_rounds,
    condition=FLEET,
    statistics=("relative",),
    fleet=True,
    arguments={"figure": "tpot"},
)
def fleet_speed(*, figure: Figure, others: Others, **rounds: Measurement[LoadLevel]) -> Estimate:
    """How far a node is from the fleet's median of TTFT or TPOT, as a share of it, slower or faster.

    The larger of both levels, of those where chance does not explain it if there are any. Details: ``level``
    and ``slower`` of that figure, for each level ``excess`` (below 0: faster), ``error`` and ``p`` (after
    Holm), ``nodes`` and ``left_out``.
    """
    nodes = nodes_of(rounds, others, _FIGURES[figure])
    found = excesses(nodes.told, figure)[nodes.subject]
    sure = [each for each in found if each.adjusted <= ROW_LEVEL]
    worst = max(sure or found, key=lambda each: abs(each.share))
    details = {
        **_compared(nodes),
        "level": worst.level,
        "slower": worst.log > 0,
        "levels": {
            each.level: {"excess": each.share, "error": each.error, "p": each.adjusted} for each in found
        },
        "finding": _slower(worst, figure),
    }
    requests = sum(len(each) for each in nodes.told[nodes.subject].values())
    return Estimate(
        abs(worst.share), "share", requests, details=details, significant_from=worst.significant_share
    )


def _slower(found: Excess, figure: Figure) -> str:
    level = say("1 request in flight") if found.level == "quiet" else say("many requests in flight")
    if found.log > 0:
        return say(
            "{figure} is {share:.1%} above the fleet's median with {level}, standard error {error:.1%}",
            figure=figure.upper(),
            share=found.share,
            level=level,
            error=found.error,
        )
    return say(
        "{figure} is {share:.1%} below the fleet's median with {level}, standard error {error:.1%}: a node "
        "that is faster may compute less",
        figure=figure.upper(),
        share=-found.share,
        level=level,
        error=found.error,
    )


# -- repeats --------------------------------------------------------------------------------------


@metric("fleet_repeat", needs=_answers, condition=FLEET, statistics=("count",))
def fleet_repeat(*, answers: Measurement[StressAnswer]) -> Estimate:
    """Answers of all rounds that the node does not confirm when asked alone.

    Details: ``tokens`` compared, ``rate`` of wrong tokens that so many show with 95%, ``allowed`` (nats) and
    ``departures``.
    """
    found = repeats(answers)
    details: dict[str, Json] = {
        "tokens": found.tokens,
        "rate": found_rate(found.tokens),
        "allowed": found.allowed,
        "departures": [each.row() for each in found.departures],
        "finding": _unconfirmed(found),
    }
    return Estimate(len(found.departures), "answers", found.answers, details=details)


def _unconfirmed(found: Repeats) -> str:
    if not found.departures:
        return say(
            "all {answers} answers are confirmed: a rate of {rate:.3%} wrong tokens or more is excluded "
            "at 95%",
            answers=found.answers,
            rate=found_rate(found.tokens),
        )
    head = say(
        "asked alone, the node does not confirm {departed} of {answers} answers to canaries",
        departed=len(found.departures),
        answers=found.answers,
    )
    return joined([head, found.departures[0].told_first(found.allowed)])


# -- configuration --------------------------------------------------------------------------------


@metric("fleet_configuration", needs=_facts, condition=FLEET, statistics=("count",), fleet=True)
def fleet_configuration(*, facts: Measurement[ServerFacts], others: Others) -> Estimate:
    """Facts that a node tells of itself and that differ from the value of more than half of the nodes.

    A fact that half of the nodes or more do not tell is not compared, nor one that this node does not tell.
    Details: ``differs`` (fact, value, majority), ``undecided`` (facts without a majority), ``nodes``.
    """
    nodes = nodes_of({"facts": facts}, others, facts_of)
    own = nodes.told[nodes.subject]
    told = [each for each in majorities(nodes.told) if each.name in own]
    if not told:
        raise InsufficientData(
            say("{device}: the nodes tell no fact that can be compared", device=nodes.subject)
        )
    differs = [
        {"fact": each.name, "value": own[each.name], "majority": each.value}
        for each in told
        if each.value not in (None, own[each.name])
    ]
    undecided = [each.name for each in told if each.value is None]
    details = {
        **_compared(nodes),
        "differs": differs,
        "undecided": undecided,
        "finding": _differs(differs, undecided, len(told)),
    }
    return Estimate(len(differs), "facts", len(told), details=details)


def _differs(differs: Sequence[Mapping[str, Any]], undecided: Sequence[str], compared: int) -> str:
    parts = [
        say(
            "{fact} is {value}, on most nodes {majority}",
            fact=each["fact"],
            value=each["value"],
            majority=each["majority"],
        )
        for each in differs
    ]
    if undecided:
        parts.append(say("no value of {facts} is told by most nodes", facts=listed(undecided)))
    return joined(parts) if parts else say("all {compared} facts are those of most nodes", compared=compared)


def _compared(nodes: Nodes[Any]) -> dict[str, Json]:
    """How many nodes were compared, and why others were not."""
    return {"nodes": len(nodes.told), "left_out": dict(nodes.left_out)}
