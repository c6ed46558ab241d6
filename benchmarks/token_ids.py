"""What asking for ``return_token_ids`` does to our TTFT and TPOT, beside a server that stamps its writes.

    python benchmarks/token_ids.py [--rounds 5]

Writes the part "Token ids" of benchmarks/instrument.md. The audit under load takes the ids of a level's own
answers, so the load requests ask for them. Here the same load runs with ids in each event and without any, in
turn, each time against a fresh ground-truth server: 80 ms to the first token, 5 ms a token, 64 tokens.

The errors are what the client measures less what the server did, request by request: TTFT from the last byte
of the request to the first event with tokens, TPOT over the tokens after the first.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from instrument import CLIENT_CORE, HERE, SERVER_CORE, SIZES, TOKENS
from load_clients import PATH, body
from parts import put_part

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.load import LoadJob, LoadRequest, LoadTarget, run_load
from pytest_gptoss.model.results import RequestTiming
from pytest_gptoss.scenarios.truth import TrueRequest, truth_server

LEVELS = (1, 16, 64)
TITLE = "Token ids"
KINDS = {True: "with ids", False: "without"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: mean of the errors and 99th percentile of their sizes, TTFT in ms and TPOT in us."""

    ttft_mean: float
    ttft_p99: float
    tpot_mean: float
    tpot_p99: float


def run(concurrency: int, *, ids: bool) -> Cell:
    """One load against a server of its own, told in each request whether its events hold ids."""
    requests = SIZES[concurrency]
    asked = {**body(TOKENS), "return_token_ids": ids, "truth": {"ids": ids}}
    with truth_server("--first-token-ms=80", "--interval-ms=5") as server:
        os.sched_setaffinity(server.process.process.pid, {SERVER_CORE})
        job = LoadJob(
            LoadTarget(Endpoint(server.endpoint.root)),
            [LoadRequest(f"r{place}", PATH, asked) for place in range(requests)],
            concurrency,
        )
        done = run_load(job, on_end=lambda timing: None)
        return _cell({each.id: each for each in done.requests}, server.stamps())


def _cell(seen: Mapping[str, RequestTiming], true: Mapping[str, TrueRequest]) -> Cell:
    ttft, tpot = [], []
    for name, timing in seen.items():
        if timing.error is not None or timing.sent_ns is None:
            raise SystemExit(f"request {name} failed: {timing.error}")
        truth = true[name]
        ttft.append((timing.token_ns[0] - timing.sent_ns - truth.token_ns[0] + truth.read_ns) / 1e6)
        tpot.append((_span(timing.token_ns) - _span(truth.token_ns)) / 1e3 / (sum(truth.tokens) - 1))
    return Cell(statistics.fmean(ttft), _p99(ttft), statistics.fmean(tpot), _p99(tpot))


def _span(stamps: tuple[int, ...]) -> int:
    return stamps[-1] - stamps[0]


def _p99(values: list[float]) -> float:
    """The 99th percentile of the sizes: an error of TPOT may have either sign."""
    ordered = sorted(map(abs, values))
    return ordered[-(-99 * len(ordered) // 100) - 1]


def lines(cells: Mapping[tuple[int, bool], list[Cell]], rounds: int) -> Iterator[str]:
    """The part of the page."""
    yield from (
        f"    python benchmarks/token_ids.py --rounds {rounds}",
        "",
        "Our client alone, the same load with `return_token_ids` and without, in turn. Errors, mean / 99th",
        "percentile of their sizes, in brackets the least and the greatest mean of a round; medians of",
        f"{rounds} rounds.",
        "",
        "| in flight | TTFT error ms, with ids | without | TPOT error us, with ids | without |",
        "|---|---|---|---|---|",
    )
    for level in LEVELS:
        pairs = [_told(cells[level, ids], figure) for figure in ("ttft", "tpot") for ids in KINDS]
        yield f"| {level} | {' | '.join(pairs)} |"


def _told(cells: list[Cell], figure: str) -> str:
    means = [getattr(cell, f"{figure}_mean") for cell in cells]
    p99 = statistics.median(getattr(cell, f"{figure}_p99") for cell in cells)
    return f"{statistics.median(means):.2f} / {p99:.1f} ({min(means):.2f} to {max(means):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=HERE / "instrument.md")
    options = parser.parse_args()
    os.sched_setaffinity(0, {CLIENT_CORE})
    cells: dict[tuple[int, bool], list[Cell]] = {}
    for turn in range(options.rounds):
        for level in LEVELS:
            # The order changes from round to round: what warms up does not fall on one kind alone.
            for ids in sorted(KINDS, reverse=turn % 2 == 0):
                cell = run(level, ids=ids)
                cells.setdefault((level, ids), []).append(cell)
                print(
                    f"c={level}, {KINDS[ids]}: TTFT {cell.ttft_mean:.3f} ms, TPOT {cell.tpot_mean:.2f} us",
                    flush=True,
                )
    put_part(options.output, TITLE, list(lines(cells, options.rounds)))
    print(options.output.read_text("utf-8"))


if __name__ == "__main__":
    main()
