"""Report documents of fleets: one recorded run's rows on every node, and the fleet's own rows beside them."""

import copy

from documents import recorded

from pytest_gptoss.model.fleet import FleetTask
from pytest_gptoss.report.document import acceptance_document

UNITS = {"answers": "answers", "logprobs": "spreads", "ttft": "share", "tpot": "share",
         "repeat": "answers", "configuration": "facts"}  # fmt: skip
LIMITS = {"logprobs": 4.5, "ttft": 0.05, "tpot": 0.05}
TOKENS = 12_288
"""Tokens that each node's canaries gave again."""


def node_name(index):
    return f"node-{index:02d}"


def fleet_document(nodes, *, gpu=False, odd=None, dead=(), differing=(), whole=True):
    """A fleet's document. ``odd``: node -> row -> value beyond its limit; ``dead`` and ``differing``: nodes.

    ``whole``: with the recorded run's own rows on every node; else the fleet's rows alone.
    """
    names = [node_name(index) for index in range(nodes)]
    before = recorded("passing")
    rows = [
        row
        for name in names
        for row in _rows(name, before, (odd or {}).get(name, {}), dead, differing, gpu, whole)
    ]
    first, baseline = before["devices"][:2]
    devices = [
        {**first, "name": name, "url": f"http://10.0.0.{index}:8000", "label": None,
         "problem": "does not answer: 111 (refused)" if name in dead else None}
        for index, name in enumerate(names)
    ]  # fmt: skip
    measured = _measured(
        before["measurements"], [name for name in names if name not in dead] if whole else []
    )
    return acceptance_document(
        state="finished",
        run={name: each for name, each in before["run"].items() if name not in ("verdict", "selected")},
        devices=[*devices, *([baseline] if gpu else [])],
        verdicts=rows,
        selected=len(rows),
        measurements=measured,
        fleet=FleetTask(tuple(names)),
    )


def _rows(name, before, odd, dead, differing, gpu, whole):
    like = before["verdicts"][0]
    for row in before["verdicts"] if whole else ():
        yield _row(row, name, dead, differing, gpu)
    for place, (metric, unit) in enumerate(UNITS.items()):
        limit = LIMITS.get(metric, 0)
        value = odd.get(metric, 0 if metric not in LIMITS else limit * (0.1 + 0.1 * place))
        failed = metric in odd
        row = {
            **like, "npu": name, "device": name, "threshold_id": f"fleet.{metric}", "family": "fleet",
            "tier": "assurance", "source": "ours", "statistic": "count", "value": value, "limit": limit,
            "comparison": "<=" if metric in LIMITS else "=", "unit": unit, "n": 64, "ci": None,
            "ci_low": None, "ci_high": None, "proven": None, "verdict": "FAIL" if failed else "PASS",
            "reason": f"{name} departs" if failed else None, "npu_label": None, "gpu_label": None,
            "headroom": -1.0 if failed else 0.5 if limit else 0.0,
            "details": {"tokens": TOKENS, "rate": 1 - 0.05 ** (1 / TOKENS)},
        }  # fmt: skip
        yield _dead(row) if name in dead else row


def _row(row, name, dead, differing, gpu):
    row = {**row, "npu": name, "device": name, "npu_label": None}
    if name in dead:
        return _dead(row)
    compared = row["family"] == "precision"
    if compared and not gpu:
        return {**_dead(row), "verdict": "SKIPPED", "reason": "no baseline: add --gpu-url URL"}
    if row["threshold_id"] == "precision.kl" and name in differing:
        return {**row, "verdict": "FAIL", "reason": "it differs"}
    return row


def _dead(row):
    return {
        **row, "verdict": "INVALID", "value": None, "n": None, "ci": None, "ci_low": None, "ci_high": None,
        "headroom": None, "reason": f"{row['npu']}: does not answer", "details": {},
    }  # fmt: skip


def _measured(measured, names):
    """What the recorded run measured of its device, on every node."""
    found = copy.deepcopy(measured)
    lists = {key: each for key, each in found.items() if isinstance(each, list) and each}
    for key, each in lists.items():
        if isinstance(each[0], dict):
            found[key] = [{**row, "device": name} for name in names for row in each if row["device"] == "npu"]
    levels = [row for row in found["load"]["levels"] if row["device"] == "npu"]
    found["load"]["levels"] = [{**row, "device": name} for name in names for row in levels]
    return found
