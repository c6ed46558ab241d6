"""The capacity that ``pytest-gptoss capacity`` finds of a queue whose capacity is known.

    python benchmarks/capacity.py [--rate 100] [--share 0.95] [--probe-seconds 240] [--busy 0.8,0.7,0.9]

The ground-truth server is an M/M/1 queue: one slot, exponential service times of mean 1/rate, all of a
request's time in it is TTFT. Its capacity under a limit S on TTFT is rate - ln(1 / (1 - share)) / S; for each
share of ``--busy`` the limit is chosen so that this is that share of the rate. Prints a line for each.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

from pytest_gptoss.cli.capacity_report import capacity_report
from pytest_gptoss.model.arrivals import Slo
from pytest_gptoss.model.capacity import CapacityTask
from pytest_gptoss.scenarios.truth import truth_server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--share", type=float, default=0.95)
    parser.add_argument("--probe-seconds", type=float, default=240.0)
    parser.add_argument("--busy", default="0.8,0.7,0.9")
    options = parser.parse_args()
    print("| known | found | off | sure | probes | sent late, p95 |\n|---|---|---|---|---|---|", flush=True)
    for seed, busy in enumerate(map(float, options.busy.split(","))):
        print(row(options.rate, busy, options.share, options.probe_seconds, seed), flush=True)


def row(rate: float, busy: float, share: float, probe_s: float, seed: int) -> str:
    """One search, as a line of the table."""
    limit_ms = math.log(1 / (1 - share)) / ((1 - busy) * rate) * 1e3
    task = CapacityTask(
        Slo(ttft_ms=limit_ms, share=share), 8, 1, probe_s=probe_s, first_rate=rate / 3, seed=seed
    )
    queue = (f"--service-ms={1e3 / rate}", "--service=exponential", f"--service-seed={seed}")
    with truth_server(*queue) as server:
        found = capacity_report(
            task,
            url=server.endpoint.root,
            model=None,
            ca_bundle=None,
            tell=lambda text: print(text, file=sys.stderr),
        )
    return _line(found, busy * rate)


def _line(found: dict[str, Any], known: float) -> str:
    capacity, probes = found["capacity"], found["probes"]
    late = max(each["send_delay_ms"] for each in probes)
    if capacity is None:
        return f"| {known:g} | {found['problem']} | | | {len(probes)} | {late:.2f} ms |"
    ends = " to ".join("-" if found[key] is None else f"{found[key]:g}" for key in ("low", "high"))
    off = capacity / known - 1
    return f"| {known:g} | {capacity:.4g} | {off:+.1%} | {ends} | {len(probes)} | {late:.2f} ms |"


if __name__ == "__main__":
    main()
