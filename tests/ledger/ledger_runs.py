"""Documents of runs for the ledger's tests, and what a ledger holds of one."""

from __future__ import annotations

import copy
import json
import random
import sqlite3
import sys
from functools import cache
from pathlib import Path

from pytest_gptoss.ledger.storing import add_run
from pytest_gptoss.model.ledger_target import read_target
from pytest_gptoss.report.files import read_document

RUNS = Path(__file__).parents[1] / "report" / "runs"


def document(name="passing"):
    """A recorded run, fresh for every caller to change."""
    return copy.deepcopy(_recorded(name))


@cache
def _recorded(name):
    return read_document(RUNS / name)


def numbered(index, name="passing"):
    """A run like the recorded one that began so many minutes later, its figures a little other."""
    made = document(name)
    made["run"]["started"] = (
        f"2026-01-{1 + index // 1440:02d}T{index // 60 % 24:02d}:{index % 60:02d}:00.000+00:00"
    )
    noise = random.Random(index)
    for row in made["verdicts"]:
        if row["value"] is not None:
            row["value"] *= 1 + noise.gauss(0, 0.001)
    return made


def with_level(made):
    """The document with a load level in which every request took the same time."""
    waits = {
        "n": 8,
        "mean": 80.5,
        "p50": 80.5,
        "p90": 80.5,
        "p95": 80.5,
        "p99": 81.25,
        "min": 80.0,
        "max": 82.0,
    }
    made["measurements"]["load"]["levels"] = [
        {
            "device": "npu", "level": "c04", "concurrency": 4, "trial": 0, "complete": True, "reason": None,
            "instrument": None, "num_requests": 8, "completed": 8, "failed": 0, "prompt_tokens": 256,
            "max_tokens": 32, "ttft_ms": {**waits, "curve": [80.0]}, "throughput_tok_s": 321.5, "qps": None,
        }
    ]  # fmt: skip
    return made


def stored(made, directory):
    """The report directory of a document."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "acceptance.json").write_text(json.dumps(made), "utf-8")
    return directory


def ledger(tmp_path, *documents):
    """A new SQLite ledger with these runs; returns its target."""
    target = read_target("runs.db", tmp_path)
    for each in documents:
        add_run(target, each)
    return target


def rows(target, query):
    """What a query finds in a SQLite ledger."""
    connection = sqlite3.connect(target.path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


if __name__ == "__main__":  # a process of its own, for tests with several
    where, begin, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for number in range(begin, end):
        add_run(read_target(where), numbered(number))
        print(number, flush=True)
