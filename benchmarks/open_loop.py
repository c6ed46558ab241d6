"""How late load clients send, and how far their TTFT is off, at a fixed rate of arrivals.

    python benchmarks/open_loop.py --peers DIR [--rounds 3] [--clients ours,aiohttp]

Writes the part "Open loop" of benchmarks/instrument.md, whose script says what ``DIR`` holds and how an error
in TTFT is told. Each cell is a fresh client process on one core and a fresh ground-truth server on the other.

Arrivals are evenly spaced. The server stamps when it has read each request: the earliest one of all, measured
against its place in the even schedule, is taken for punctual, and what the others come later than their
places is how late they were sent. A client that cannot hold the rate falls behind for ever, and all is late.
The rate is doubled from 25 a second on until more than 1% of the requests are over 5 ms late; the highest
rate before that is the one held.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from instrument import (
    HERE,
    SERVER_CORE,
    Job,
    Peer,
    aiperf,
    command_line,
    errors_of,
    follow,
    guidellm,
    measured,
    read_aiperf,
    read_guidellm,
    read_small,
    read_vllm,
    small,
    vllm,
)
from parts import put_part

from pytest_gptoss.scenarios.truth import TrueRequest, truth_server

RATE = 50
"""Requests a second at which TTFT and lateness are tabled."""
SECONDS = 8
LATE_MS = 5.0
MOST_LATE = 0.01
RATES = (25, 50, 100, 200, 400, 800, 1600)
TITLE = "Open loop"


@dataclass(frozen=True, slots=True)
class Cell:
    """One run at one rate: ms that requests were sent late, the share too late, and errors of TTFT in ms."""

    late_p50: float
    late_p99: float
    too_late: float
    ttft_mean: float
    ttft_p99: float


def lateness(reads_ns: Sequence[int], rate: float) -> list[float]:
    """How late each request was read, ms, by its place in an even schedule; the earliest one is punctual."""
    off = [read / 1e6 - place * 1e3 / rate for place, read in enumerate(sorted(reads_ns))]
    return [each - min(off) for each in off]


def cell_of(seen: Mapping[str, float] | Sequence[float], true: Sequence[TrueRequest], rate: float) -> Cell:
    """Hold what a client reports against what the server did."""
    late = sorted(lateness([each.read_ns for each in true], rate))
    errors = errors_of(seen, true)
    return Cell(
        late_p50=statistics.median(late),
        late_p99=_p99(late),
        too_late=sum(each > LATE_MS for each in late) / len(late),
        ttft_mean=statistics.fmean(errors),
        ttft_p99=_p99(errors),
    )


def _p99(ordered: Sequence[float]) -> float:
    return ordered[max(0, -(-99 * len(ordered) // 100) - 1)]


# -- the clients --------------------------------------------------------------------------------


def open_small(name: str, python: Callable[[Job], str]) -> Callable[[Job], list[str]]:
    """A client of load_clients.py, which takes a rate behind its other arguments."""
    closed = small(name, python)
    return lambda job: [*closed(job), str(job.rate)]


def open_vllm(job: Job) -> list[str]:
    # Gaps of the gamma distribution: with so large a burstiness, all equal.
    closed = vllm(job)
    at = closed.index("--max-concurrency")
    return [*closed[:at], "--request-rate", str(job.rate), "--burstiness", "1e6", *closed[at + 2 :]]


def open_guidellm(job: Job) -> list[str]:
    return [f"kind=constant,rate={job.rate}" if each.startswith("kind=concurrent") else each
            for each in guidellm(job)]  # fmt: skip


def open_aiperf(job: Job) -> list[str]:
    closed = aiperf(job)
    at = closed.index("--concurrency")
    return [*closed[:at], "--request-rate", str(job.rate), "--arrival-pattern", "constant", *closed[at + 2 :]]


CLIENTS = {
    "vllm": Peer("vllm bench serve 0.32", open_vllm, read_vllm, "vllm/bin/vllm", heavy=True),
    "guidellm": Peer("guidellm 0.8.1", open_guidellm, read_guidellm, "guidellm/bin/guidellm", heavy=True),
    "aiperf": Peer("aiperf 0.13", open_aiperf, read_aiperf, "aiperf/bin/aiperf", heavy=True),
    "aiohttp": Peer(
        "plain aiohttp",
        open_small("aiohttp", lambda job: str(job.peers / "vllm/bin/python")),
        read_small,
        "vllm/bin/python",
    ),
    "ours": Peer("pytest-gptoss", open_small("ours", lambda _: sys.executable), read_small),
}


def run(client: Peer, rate: int, peers: Path) -> Cell:
    """Run a client once at a rate, against a server of its own."""
    with (
        truth_server("--first-token-ms=80", "--interval-ms=5") as server,
        tempfile.TemporaryDirectory() as scratch,
    ):
        os.sched_setaffinity(server.process.process.pid, {SERVER_CORE})
        requests = rate * SECONDS
        job = Job(server.endpoint.root, rate, requests, Path(scratch), peers, rate=rate)
        follow(client.command(job), Path(scratch), priority=False)
        return cell_of(client.read(job.out), measured(server, requests), rate)


# -- the table ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Results:
    """Of each client and round: the cell at ``RATE`` and the highest rate held; what went wrong."""

    cells: dict[str, list[Cell]] = field(default_factory=dict)
    held: dict[str, list[int]] = field(default_factory=dict)
    trouble: dict[str, str] = field(default_factory=dict)


def one_round(results: Results, name: str, peers: Path) -> None:
    """Double the rate until it is not held any more."""
    client, held = CLIENTS[name], 0
    try:
        for rate in RATES:
            cell = run(client, rate, peers)
            print(f"{client.title}, {rate}/s: {_row(cell)}", flush=True)
            if rate == RATE:
                results.cells.setdefault(name, []).append(cell)
            if cell.too_late > MOST_LATE and rate >= RATE:
                break
            held = rate if cell.too_late <= MOST_LATE else held
    except (RuntimeError, TimeoutError, KeyError, StopIteration) as error:
        results.trouble[name] = " ".join(str(error).split())[-200:]
        print(f"{client.title}: {error}", flush=True)
    results.held.setdefault(name, []).append(held)


def _row(cell: Cell) -> str:
    return (
        f"late {cell.late_p50:.2f} / {cell.late_p99:.1f} ms, {cell.too_late:.1%} too late, "
        f"TTFT {cell.ttft_mean:.2f} / {cell.ttft_p99:.1f} ms"
    )


def part(results: Results, clients: Sequence[str], command: str, rounds: int) -> Iterator[str]:
    """The lines of the part of the page."""
    yield from (
        f"    {command}",
        "",
        f"Even arrivals at {RATE} requests a second for {SECONDS} s; medians of {rounds} "
        f"round{'s' * (rounds > 1)}. Late: as the server reads requests, median / 99th percentile.",
        f"Rate held: the highest of {', '.join(map(str, RATES))} a second with at most {MOST_LATE:.0%} of "
        f"the requests more than {LATE_MS:g} ms late; 0: none.",
        "",
        "| client | late ms | too late | TTFT error ms, mean / p99 | rate held |",
        "|---|---|---|---|---|",
    )
    for name in clients:
        cells, held = results.cells.get(name, []), results.held.get(name, [])
        if not cells:
            continue
        of = {each: statistics.median(getattr(cell, each) for cell in cells) for each in Cell.__slots__}
        yield (
            f"| {CLIENTS[name].title} | {of['late_p50']:.2f} / {of['late_p99']:.1f} | {of['too_late']:.1%} "
            f"| {of['ttft_mean']:.2f} / {of['ttft_p99']:.1f} | {statistics.median(held):g} |"
        )
    for name, words in results.trouble.items():
        yield from ("", f"{CLIENTS[name].title}: {words}.")
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--output", type=Path, default=HERE / "instrument.md")
    options = parser.parse_args()
    peers, clients = options.peers.absolute(), options.clients.split(",")
    results = Results()
    os.sched_setaffinity(0, {SERVER_CORE})
    for name in clients:
        if not (peers / CLIENTS[name].needs).exists():
            results.trouble[name] = "not installed, left out"
    for turn in range(options.rounds):
        for name in clients:
            if name not in results.trouble:
                one_round(results, name, peers)
        command = command_line(sys.argv[1:]).replace("instrument.py", Path(__file__).name)
        put_part(options.output, TITLE, [*part(results, clients, command, turn + 1)])
    print(options.output.read_text("utf-8"))


if __name__ == "__main__":
    main()
