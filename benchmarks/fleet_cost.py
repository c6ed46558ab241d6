"""What a fleet costs the suite: wall clock and memory by the number of nodes, on ground-truth servers.

    python benchmarks/fleet_cost.py
    python benchmarks/fleet_cost.py --tokens 64 --interval-ms 50    # in less time

Each fleet is judged by the suite's own command with equal rounds: as many requests are in flight on each node
whatever their number, 4 in the busy rounds. Three nodes are the fewest of a fleet and stand for one, since
nodes are measured side by side. All nodes of a fleet are one process on this machine, so that its cores are
left to the suite. Writes ``fleet_cost.md``. Exit status: 0 where 64 nodes take less than 500 MB and 32 nodes
at most 1.5 times the wall clock of 3, else 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pytest_gptoss.model.resources import acceptance_tests, fixture
from pytest_gptoss.truth.script import Script
from pytest_gptoss.truth.server import TruthServer

FIRST_MS = 200.0
CANARIES, REPEATS = 16, 4
ON_EACH = 4
"""Requests in flight on each node in a busy round."""
MOST_MB, MOST_TIMES = 500.0, 1.5
NODES = (3, 32, 64)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took: seconds on the clock and of the CPU, the most memory in MB, verdicts by word."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    verdicts: Counter[str]


def main() -> int:
    options = _parser().parse_args()
    script = Script(first_token_ms=FIRST_MS, interval_ms=options.interval_ms, prompt_ids=True)
    if options.serve:
        asyncio.run(_serve(options.serve, script))
    costs = {}
    for nodes in NODES:
        with _fleet(nodes, options.interval_ms) as urls:
            costs[nodes] = _judged(urls, options.tokens)
        print(nodes, costs[nodes], flush=True)
    options.output.write_text(_markdown(costs, options.tokens, options.interval_ms), "utf-8")
    times = costs[32].wall_s / costs[3].wall_s
    return int(costs[64].peak_mb >= MOST_MB or times > MOST_TIMES)


async def _serve(nodes: int, script: Script) -> None:
    """Serve so many nodes until the process is ended; prints their addresses as one line of JSON."""
    loop, urls = asyncio.get_running_loop(), []
    for _ in range(nodes):
        server = await loop.create_server(TruthServer(script).connection, "127.0.0.1", 0, backlog=512)
        urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    gc.disable()
    print(json.dumps(urls), flush=True)
    await asyncio.Event().wait()


@contextlib.contextmanager
def _fleet(nodes: int, interval_ms: float) -> Iterator[Sequence[str]]:
    command = [sys.executable, __file__, f"--serve={nodes}", f"--interval-ms={interval_ms}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as servers:
        try:
            assert servers.stdout is not None
            yield json.loads(servers.stdout.readline())
        finally:
            servers.kill()


def _judged(urls: Sequence[str], tokens: int) -> Cost:
    """Run the suite's command on the fleet."""
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
        folder = Path(scratch)
        command = _command(folder, urls, tokens)
        started = time.monotonic()
        with (folder / "log").open("w", encoding="utf-8") as log:
            run = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(run.pid, 0)
        wall_s = time.monotonic() - started
        run.returncode = os.waitstatus_to_exitcode(status)
        report = folder / "report" / "acceptance.json"
        if not report.is_file():
            raise SystemExit(
                f"the run ended without a report:\n{(folder / 'log').read_text('utf-8')[-2000:]}"
            )
        rows = json.loads(report.read_text("utf-8"))["verdicts"]
    verdicts = Counter(row["verdict"] for row in rows if row["family"] == "fleet")
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, verdicts)


def _command(folder: Path, urls: Sequence[str], tokens: int) -> list[str]:
    fleet, prompts = folder / "fleet.toml", folder / "prompts.json"
    tables = (f'[n{place:02d}]\nurl = "{url}"\n' for place, url in enumerate(urls))
    fleet.write_text("\n".join(tables), "utf-8")
    some = json.loads(fixture("prompts", "embedded.json").read_text("utf-8"))[:CANARIES]
    prompts.write_text(json.dumps([{**each, "max_tokens": tokens} for each in some]), "utf-8")
    return [
        *(sys.executable, "-m", "pytest", str(acceptance_tests()), "-p", "no:cacheprovider", "-m", "fleet"),
        *("--gptoss-profile=embedded", f"--gptoss-fleet={fleet}", f"--gptoss-prompts={prompts}"),
        *(f"--gptoss-fleet-canaries={CANARIES}", f"--gptoss-fleet-repeats={REPEATS}"),
        *(f"--gptoss-fleet-parallel={ON_EACH * len(urls)}", f"--gptoss-report={folder / 'report'}"),
    ]


def _markdown(costs: dict[int, Cost], tokens: int, interval_ms: float) -> str:
    lines = [
        "# What a fleet costs",
        "",
        "Made by `python benchmarks/fleet_cost.py`.",
        f"Measured {date.today().isoformat()} on {os.cpu_count()} cores ({platform.machine()}), which the "
        "nodes share with the suite.",
        f"{CANARIES} canaries of {tokens} tokens, {REPEATS} rounds, {ON_EACH} in flight on each node in the "
        f"busy ones; TTFT {FIRST_MS:g} ms, TPOT {interval_ms:g} ms.",
        "",
        "| nodes | wall clock s | times that of 3 | CPU s | peak memory MB | verdicts |",
        "|---|---|---|---|---|---|",
    ]
    for nodes, cost in costs.items():
        told = ", ".join(f"{count} {word}" for word, count in sorted(cost.verdicts.items()))
        lines.append(
            f"| {nodes} | {cost.wall_s:.0f} | {cost.wall_s / costs[3].wall_s:.2f} | {cost.cpu_s:.0f} "
            f"| {cost.peak_mb:.0f} | {told} |"
        )
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokens", type=int, default=256, metavar="N", help="of each answer (256)")
    parser.add_argument("--interval-ms", type=float, default=25.0, metavar="MS", help="between tokens (25)")
    parser.add_argument("--serve", type=int, default=0, metavar="N", help=argparse.SUPPRESS)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_suffix(".md"), metavar="FILE", help="for the table"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
