"""Simulated fleets: how often the faulty node is named, and how often a sound fleet alarms.

    python benchmarks/fleet.py --output benchmarks/fleet.md

Nodes are drawn from what ``tools/measured_fleet.py`` has measured and stored in ``tests/judge/data``, and
judged by the rows' own functions. The seeds are fixed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from pytest_gptoss.judge.fleet_answers import Answers, departures, likeliest_node
from pytest_gptoss.judge.fleet_chance import ROW_LEVEL
from pytest_gptoss.judge.fleet_distances import distances
from pytest_gptoss.judge.fleet_repeats import found_rate, repeats
from pytest_gptoss.judge.fleet_speed import Rounds, excesses
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.results import Measurement, StressAnswer, TopLogprobs

DATA = Path(__file__).resolve().parents[1] / "tests" / "judge" / "data"
NODES, ROUNDS = 32, 4
_LIMITS = {name: row.limit for name, row in load_profile("atlas-800-a2").thresholds.items()}
SPREADS, SLOWER = _LIMITS["fleet.logprobs"], _LIMITS["fleet.tpot"]
NODE_SPREAD, TPOT_NOISE, TTFT_NOISE = 0.01, 0.02, 0.05
"""Standard deviations of logarithms: of nodes, and of the requests of one node."""
WRONG_RATE = 1 / 500
SURE, NEXT = -0.01, -8.0
FILLER = np.arange(900_000, 900_004, dtype=np.int32)
"""What a node lists behind the likeliest token where nothing was in doubt: no tokens of any vocabulary."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One model's stored measurements; ``sound`` names the variants that are roundings of the same model."""

    name: str
    sound: tuple[str, ...]
    made: dict[tuple[str, str, int], StressAnswer] = field(default_factory=dict)

    @cached_property
    def data(self) -> Mapping[str, np.ndarray]:
        """The stored arrays by name."""
        with np.load(DATA / f"fleet_{self.name}.npz") as stored:
            return {name: stored[name] for name in stored.files}

    @cached_property
    def passages(self) -> Mapping[str, list[np.ndarray]]:
        """Differences of log-probabilities by variant, a passage each, nats."""
        ends = np.cumsum(self.data["lengths"])[:-1]
        return {
            name.partition(".")[2]: np.split(row.astype(np.float32), ends)
            for name, row in self.data.items()
            if name.startswith("difference.")
        }

    @property
    def canaries(self) -> int:
        """How many answers were measured."""
        return len(self.data["answers"])

    def answer(self, generated: str, scored: str, canary: int) -> StressAnswer:
        """What a variant answers greedily, as another one scores it.

        All go along the stored answer as far as they find its tokens likeliest. What comes behind the first
        other token was not measured: it is made up, and nothing is in doubt there.
        """
        key = (generated, scored, canary)
        if key not in self.made:
            self.made[key] = self._answer(*key)
        return self.made[key]

    def _answer(self, generated: str, scored: str, canary: int) -> StressAnswer:
        length = int(self.data["answers"][canary])
        tokens = 100_000 + np.arange(length, dtype=np.int32)
        top, ids = sure(tokens)
        logprobs = top[:, 0].astype(np.float64)
        for row in np.flatnonzero(self.data["place"][:, 0] == canary):
            at, stored = int(self.data["place"][row, 1]), int(self.data["token"][row])
            here = self.data[f"ids.{scored}"][row]
            chosen = int(self.data[f"ids.{generated}"][row, 0])
            top[at] = self.data[f"logprobs.{scored}"][row]
            ids[at] = np.where(here == stored, tokens[at], here)
            listed = np.flatnonzero(here == chosen)
            logprobs[at] = top[at, listed[0]] if len(listed) else top[at, -1] - 1
            if chosen != stored:
                tokens[at] = chosen
                tokens[at + 1 :] += 100_000
                ids[at + 1 :, 0] = tokens[at + 1 :]
                break
        return answered(tokens, logprobs, top, ids)


CHAT = Measured("chat", ("products", "blocks", "eager"))
TINY = Measured("tiny", ("vllm", "reference"))


def sure(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Top lists, log-probabilities and ids, of a node that is in no doubt."""
    top = np.full((len(tokens), 5), NEXT, dtype=np.float32)
    top[:, 0] = SURE
    return top, np.concatenate([tokens[:, None], np.tile(FILLER, (len(tokens), 1))], axis=1)


def answered(tokens: np.ndarray, logprobs: np.ndarray, top: np.ndarray, ids: np.ndarray) -> StressAnswer:
    return StressAnswer("", (1, 2, 3, *tokens.tolist()), 3, logprobs, TopLogprobs(ids, top))


@dataclass(frozen=True)
class Node:
    """How a node computes when asked alone and when busy, how fast, and how often it slips."""

    quiet: str
    busy: str
    speed: float
    wrong: float = 0.0

    def answers(self, measured: Measured, dice: np.random.Generator) -> list[list[StressAnswer]]:
        """The answers of all rounds."""
        return [
            [
                self._slipped(
                    measured.answer(self.busy if number % 2 else self.quiet, self.quiet, each), measured, dice
                )
                for each in range(measured.canaries)
            ]
            for number in range(ROUNDS)
        ]

    def _slipped(self, answer: StressAnswer, measured: Measured, dice: np.random.Generator) -> StressAnswer:
        """The answer with wrong tokens: one of the 20 likeliest or any, by the table of a place."""
        if not self.wrong:
            return answer
        length = len(answer.logprobs)
        places = np.flatnonzero(dice.random(length) < self.wrong)
        if not len(places):
            return answer
        tokens = np.array(answer.token_ids[answer.first :], dtype=np.int32)
        tokens[places[0] :] += 200_000
        top, ids = sure(tokens)
        upto = places[0]
        top[:upto], ids[:upto] = answer.top.logprobs[:upto], answer.top.ids[:upto]
        logprobs = np.concatenate([answer.logprobs[:upto], np.full(length - upto, SURE)])
        for at in places:
            row = int(dice.integers(len(measured.data["table"])))
            table = measured.data["table"][row].astype(np.float32)
            rank = int(dice.integers(1, 20)) if dice.random() < 0.5 else None
            logprobs[at] = table[rank] if rank else measured.data["other"][row]
            top[at], ids[at] = table[:5], 700_000 + np.arange(5)
            ids[at, 0] = answer.token_ids[answer.first + at]  # what a sound node says here
            if rank and rank < 5:
                ids[at, rank] = tokens[at]
        return answered(tokens, logprobs, top, ids)

    def passages(self, measured: Measured, dice: np.random.Generator, sound: Sequence[str]) -> np.ndarray:
        """Log-probabilities of all passages; a sound node computes each in a way drawn for it."""
        free = sound if self.quiet in measured.sound and len(sound) > 1 else (self.quiet,)
        drawn = dice.integers(len(free), size=len(measured.passages[self.quiet]))
        return np.concatenate(
            [measured.passages[free[way]][place] for place, way in enumerate(map(int, drawn))]
        )

    def rounds(self, noise: float, canaries: int, dice: np.random.Generator) -> Rounds:
        """A figure of every request in ms."""
        values = self.speed * np.exp(noise * dice.standard_normal((ROUNDS, canaries)))
        return {number: dict(enumerate(map(float, row))) for number, row in enumerate(values)}


@dataclass(frozen=True)
class Fleet:
    """Nodes of one model; ``ways`` in which sound ones compute passages."""

    measured: Measured
    nodes: Sequence[Node]
    ways: tuple[str, ...]


def named(
    fleet: Fleet, dice: np.random.Generator, judged: dict[object, bool] | None = None
) -> dict[str, set[int]]:
    """The nodes that fail, by row. ``judged``: what the repeats of sound nodes came to, by their ways."""
    judged = {} if judged is None else judged
    measured, nodes = fleet.measured, fleet.nodes
    answers = [node.answers(measured, dice) for node in nodes]
    return {
        "fleet.answers": _answers(answers),
        "fleet.logprobs": _logprobs([each.passages(measured, dice, fleet.ways) for each in nodes]),
        "fleet.ttft": _speed([Node("", "", 1.0) for _ in nodes], TTFT_NOISE, measured.canaries, dice, "ttft"),
        "fleet.tpot": _speed(nodes, TPOT_NOISE, measured.canaries, dice, "tpot"),
        "fleet.repeat": {
            place for place, node in enumerate(nodes) if _repeats(node, measured, answers[place], judged)
        },
    }


def _answers(answers: Sequence[list[list[StressAnswer]]]) -> set[int]:
    first: dict[str, Answers] = {
        f"{place:02d}": {f"r0-{canary:02d}": each for canary, each in enumerate(rounds[0])}
        for place, rounds in enumerate(answers)
    }
    medoid = likeliest_node(first, "")
    runner_up = likeliest_node(first, medoid)
    return {
        int(name)
        for name, ours in first.items()
        if departures(ours, first[runner_up if name == medoid else medoid])
    }


def _logprobs(rows: Sequence[np.ndarray]) -> set[int]:
    found = distances({f"{place:02d}": row for place, row in enumerate(rows)})
    return {int(name) for name, each in found.items() if each.spreads > max(SPREADS, each.significant_from)}


def _speed(
    nodes: Sequence[Node], noise: float, canaries: int, dice: np.random.Generator, figure: str
) -> set[int]:
    own = {f"{place:02d}": node.rounds(noise, canaries, dice) for place, node in enumerate(nodes)}
    found = excesses(own, "ttft" if figure == "ttft" else "tpot")
    return {
        int(name)
        for name, levels in found.items()
        if any(each.adjusted <= ROW_LEVEL and abs(each.share) > SLOWER for each in levels)
    }


def _repeats(
    node: Node, measured: Measured, rounds: list[list[StressAnswer]], judged: dict[object, bool]
) -> bool:
    key = (measured.name, node.quiet, node.busy)
    if node.wrong or key not in judged:
        items = tuple(
            StressAnswer(f"r{number}-{canary:02d}", each.token_ids, each.first, each.logprobs, each.top)
            for number, row in enumerate(rounds)
            for canary, each in enumerate(row)
        )
        found = bool(repeats(Measurement("simulated", "node", items)).departures)
        if node.wrong:
            return found
        judged[key] = found
    return judged[key]


# -- fleets ---------------------------------------------------------------------------------------


def sound_node(ways: Sequence[str], dice: np.random.Generator) -> Node:
    quiet, busy = dice.integers(len(ways), size=2)
    return Node(ways[quiet], ways[busy], float(np.exp(NODE_SPREAD * dice.standard_normal())))


def sound_fleet(measured: Measured, dice: np.random.Generator) -> Fleet:
    """Every second one rounds freely, one in four is bit-identical, one in four is so but for one node."""
    ways = measured.sound if dice.random() < 0.5 else (str(dice.choice(measured.sound)),)
    nodes = [sound_node(ways, dice) for _ in range(NODES)]
    if len(ways) == 1 and dice.random() < 0.5:
        nodes[int(dice.integers(NODES))] = sound_node(measured.sound, dice)
    return Fleet(measured, nodes, ways)


def faulty_fleet(
    measured: Measured, fault: Callable[[Node], Node], dice: np.random.Generator
) -> tuple[Fleet, int]:
    """A sound fleet, in which one node has the fault."""
    fleet = sound_fleet(measured, dice)
    place = int(dice.integers(NODES))
    nodes = [fault(each) if number == place else each for number, each in enumerate(fleet.nodes)]
    return Fleet(measured, nodes, fleet.ways), place


def lost_expert(node: Node) -> Node:
    return Node("zero-expert", "zero-expert", node.speed)


def six_bits(node: Node) -> Node:
    return Node("weights-6bit", "weights-6bit", node.speed)


def wrong_tokens(node: Node) -> Node:
    return Node(node.quiet, node.busy, node.speed, WRONG_RATE)


def slower(node: Node) -> Node:
    return Node(node.quiet, node.busy, node.speed * 1.08)


@dataclass(frozen=True)
class Found:
    """Of some fleets: in how many the faulty node was named, by any row and by each, and others were."""

    fleets: int
    named: int
    by_row: Mapping[str, int]
    others: int


def faults_found(
    measured: Measured, fault: Callable[[Node], Node], *, fleets: int = 200, seed: int = 1
) -> Found:
    dice = np.random.default_rng(seed)
    by_row: dict[str, int] = {}
    hits = others = 0
    judged: dict[object, bool] = {}
    for _ in range(fleets):
        fleet, place = faulty_fleet(measured, fault, dice)
        found = named(fleet, dice, judged)
        hits += any(place in nodes for nodes in found.values())
        others += any(nodes - {place} for nodes in found.values())
        for row, nodes in found.items():
            by_row[row] = by_row.get(row, 0) + (place in nodes)
    return Found(fleets, hits, by_row, others)


def false_alarms(measured: Measured, *, fleets: int = 1000, seed: int = 2) -> Mapping[str, int]:
    """How many sound fleets alarm at each row, and at any (``any``)."""
    dice = np.random.default_rng(seed)
    counts: dict[str, int] = {"any": 0}
    judged: dict[object, bool] = {}
    for _ in range(fleets):
        found = named(sound_fleet(measured, dice), dice, judged)
        counts["any"] += any(found.values())
        for row, nodes in found.items():
            counts[row] = counts.get(row, 0) + bool(nodes)
    return counts


# -- the page -------------------------------------------------------------------------------------

PROCESSES, PARTS = 8, 5
ROWS = ("fleet.answers", "fleet.logprobs", "fleet.repeat", "fleet.tpot", "fleet.ttft")


def page(fleets: int = 200, sound: int = 1000) -> str:
    """The page, its figures measured now."""
    with ProcessPoolExecutor(PROCESSES) as pool:
        alarming = {
            each.name: [
                pool.submit(false_alarms, each, fleets=sound // PARTS, seed=2 + part) for part in range(PARTS)
            ]
            for each in (CHAT, TINY)
        }
        asked = [
            (name, model, pool.submit(faults_found, model, fault, fleets=fleets))
            for name, model, fault in FAULTS
        ]
        faults = [(name, model.name, found.result()) for name, model, found in asked]
        alarms = {name: _added([each.result() for each in parts]) for name, parts in alarming.items()}
    total = sum(each["any"] for each in alarms.values())
    return f"""# Simulated fleets of {NODES} nodes

<!-- Made by `python benchmarks/fleet.py --output benchmarks/fleet.md`. Do not edit this page. -->

## Faults

One node has the fault; it is named when any of its rows fails. Of {fleets} fleets each:

| fault | model | named | {" | ".join(f"by `{row}`" for row in ROWS)} | sound ones named | wanted |
|---|---|---|{"---|" * len(ROWS)}---|---|
{chr(10).join(_fault(*each) for each in faults)}

Weights in 6 bits move the tiny checkpoint, which is sure of its answers, by {_moved(TINY):.3f} nat in the
mean, less than what `fleet.logprobs` lets every fleet differ by. The chat model they move by
{_moved(CHAT):.3f} nat.

## False alarms

A fleet alarms when any row of any node fails. Of {sound:,} sound fleets of each model:

| model | alarms | {" | ".join(f"at `{row}`" for row in ROWS)} |
|---|---|{"---|" * len(ROWS)}
{chr(10).join(_alarms(name, each) for name, each in alarms.items())}
| both | {total} of {2 * sound:,}, at most {sound * 2 * 15 // 1000} wanted |{" |" * len(ROWS)}

## What the nodes are drawn from

`tools/measured_fleet.py` has measured and stored all of it.

- Log-probabilities of passages: {_size(CHAT)} of the chat model, {_size(TINY)} of the tiny
  checkpoint. A node that rounds freely computes each passage in one of the ways below.
- Answers: {CHAT.canaries} greedy answers of each model. A node goes along an answer as far as its way of
  computing finds the tokens likeliest, then answers what that finds; a later token is made up, and is in no
  doubt.
- Ways to compute soundly: of the tiny checkpoint, real vLLM in bfloat16 and the reference server in bfloat16
  ({_apart(TINY)} nat apart in the mean). Of the chat model (135 million parameters), transformers in float32
  with outputs rounded to bfloat16 at three sets of places, {_apart(CHAT)} nat apart: no two real servers
  were run on it.
- Half of the sound fleets round freely, a quarter are bit-identical, a quarter are so but for one node. A
  node's way of computing when busy is drawn apart from the one when it is asked alone.
- The lost expert: the reference server with `zero-expert`. Weights in 6 bits: the tiny checkpoint on the
  reference server, the chat model in transformers, rounded in groups of 32.
- A wrong token is one of the 20 likeliest or any of the vocabulary, evenly, by the table of a place drawn
  from the model's answers (on the tiny checkpoint the least likely of 20 stands for any).
- Speed is made up: nodes differ by {NODE_SPREAD:.0%}, the TPOTs of a node's requests by {TPOT_NOISE:.0%},
  their TTFTs by {TTFT_NOISE:.0%} (standard deviations).
- Effort: {CHAT.canaries} canaries in {ROUNDS} rounds. 16 of 256 tokens find a rate of
  {found_rate(16 * 256 * ROUNDS):.3%} wrong tokens with 95%.
"""


def _added(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(each[name] for each in parts) for name in parts[0]}


def _fault(name: str, model: str, found: Found) -> str:
    rows = " | ".join(str(found.by_row[row]) for row in ROWS)
    wanted = "" if (name, model) in EXTRA else f"at least {found.fleets * 95 // 100}"
    return f"| {name} | {model} | {found.named} | {rows} | {found.others} | {wanted} |"


FAULTS = (
    ("one expert lost", TINY, lost_expert),
    ("1 wrong token in 500", CHAT, wrong_tokens),
    ("1 wrong token in 500", TINY, wrong_tokens),
    ("8% slower in decoding", CHAT, slower),
    ("weights in 6 bits", CHAT, six_bits),
    ("weights in 6 bits", TINY, six_bits),
)
EXTRA = {("1 wrong token in 500", "tiny"), ("weights in 6 bits", "tiny")}
"""What is shown beside what was asked for."""


def _alarms(model: str, counts: Mapping[str, int]) -> str:
    return f"| {model} | {counts['any']} | {' | '.join(str(counts[row]) for row in ROWS)} |"


def _moved(measured: Measured) -> float:
    return float(np.abs(np.concatenate(measured.passages["weights-6bit"])).mean())


def _apart(measured: Measured) -> str:
    whole = [np.concatenate(measured.passages[name]) for name in measured.sound]
    apart = [float(np.abs(one - other).mean()) for place, one in enumerate(whole) for other in whole[:place]]
    return " to ".join(dict.fromkeys(f"{each:.3f}" for each in (min(apart), max(apart))))


def _size(measured: Measured) -> str:
    lengths = measured.data["lengths"]
    return f"{len(lengths)} with {lengths.sum():,} tokens"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.parse_args().output.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
