"""Nodes of a fleet made by hand."""

import numpy as np
from made import measurement, scored, top
from made_load import level, request

from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.judge.verdicts import judge
from pytest_gptoss.model.results import StressAnswer
from pytest_gptoss.model.subjects import KnownFact, ServerFacts

PROMPT = (7, 8, 9)
SURE = -0.1
ROWS = {row.metric: row for row in load_profile("embedded").thresholds.values() if row.family == "fleet"}


def passages(node, *rows, **fields):
    """Scores of passages, a row of log-probabilities each."""
    return {"passages": measurement(node, [scored(f"s{n}", row) for n, row in enumerate(rows)], **fields)}


def answer(name, tokens, *, tops=None, prompt=PROMPT):
    """An answer in whose own node's eyes each token is the likeliest, but where ``tops`` says otherwise."""
    lists = {at: {token: SURE, 90_000: -4.0} for at, token in enumerate(tokens)} | (tops or {})
    logprobs = np.array([lists[at].get(token, -20.0) for at, token in enumerate(tokens)])
    rows = [lists[at] for at in range(len(tokens))]
    return StressAnswer(
        name, (*prompt, *tokens), len(prompt), logprobs, top(*rows, width=5), kind=name.partition("-")[0]
    )


def answers(node, *items, **fields):
    return {"answers": measurement(node, items, **fields)}


def rounds(node, *, ttft=100.0, tpot=20.0, count=4, requests=8, tokens=10, noise=None):
    """Rounds of canaries of even pace; ``noise`` is a generator that spreads each request by 1%."""
    found = {}
    for number in range(count):
        made = []
        for place in range(requests):
            slower = 1.0 if noise is None else float(np.exp(0.01 * noise.standard_normal()))
            first = ttft * (1 + place / 4)
            stamps = [first * slower + tpot * slower * step for step in range(tokens)]
            made.append(request(f"c-{place:02d}", 1, *(1 + each for each in stamps)))
        found[f"round_{number}"] = measurement(node, [level(*made)])
    return found


def facts(node, *, known=(), **fields):
    usual = {"version": "0.11.0", "model": "m", "max_model_len": 4096, "harmony_date": "2026-01-01"}
    told = ServerFacts(
        run="r", addresses=(), waited_s=0.0, listed=("m",), **{**usual, **fields},
        known=tuple(KnownFact(name, value, "/server_info") for name, value in known),
    )  # fmt: skip
    return {"facts": measurement(node, [told])}


def estimate(name, nodes, subject):
    """What a metric says of one of the nodes; ``nodes`` by name, the others' as the run hands them over."""
    others = {node: told for node, told in nodes.items() if node != subject}
    return metric_named(name).compute(**nodes[subject], others=others)


def fails(metric, found):
    """Whether a row fails on an estimate."""
    return judge(ROWS[metric], "node", found).status == "FAIL"


def named(metric, nodes):
    """The nodes whose row fails."""
    return {node for node in nodes if fails(metric, estimate(metric, nodes, node))}
