"""Which defect turns which threshold red: the matrix in detection.md, from runs of the suite's own command.

    python benchmarks/detection.py                    # every row that was not run yet; Ctrl-C and go on later
    python benchmarks/detection.py --rows 'wire-*'    # some of them
    python benchmarks/detection.py --fast             # what CI runs: a sixth of the prompts, a choice of rows
    python benchmarks/detection.py --every 1          # on all prompts; a quarter of them otherwise
    python benchmarks/detection.py --repeat 59        # as many sound runs as a claim of 95% needs

What was run is kept in ``.detection/`` for the version of the product, the rows and the libraries it was run
with. The table in the repository is written once every row was run; until then one stands in ``.detection/``.
Rows on real vLLM, and those judged against a baseline recorded from it, need
``python tools/vllm_cpu.py install``; without it they are listed as not run. The fast choice runs of each
defect the families of its named checks, and shows every threshold of these in both colours, or the command
fails; preflight, capabilities and the baseline's own rows have tests in ``tests/plugin`` that do the same.

``--jobs 2`` runs two rows side by side: a reference server keeps one core busy. The rows that are measured
in time (``bench-*``, slow servers) have the machine for themselves and come last.

The last lines name each row that did not look as expected: what was expected, what was seen, the end of
its log.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import platform
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import vllm_cpu  # noqa: E402
from detection.matrix import counts, markdown, one_coloured  # noqa: E402
from detection.recordings import RECORDINGS, VLLM  # noqa: E402
from detection.row import BASELINE, NotMeasured, Outcome, Row, column  # noqa: E402
from detection.rows import REPETITIONS, all_rows  # noqa: E402
from detection.runs import Runs, one_prompt_in, product_version  # noqa: E402
from detection.stress import NAMED  # noqa: E402
from detection.trouble import end_of, trouble  # noqa: E402

from pytest_gptoss.judge.thresholds import load_profile  # noqa: E402
from pytest_gptoss.model.errors import ReferenceServerError  # noqa: E402

FAST = ("decode-no-sinks", "kv-shift", "harmony-leak", "truncate-context", "wrong-date",
        "wire-question-cache", "wire-coarse-cache", "wire-lost-content", "wire-call-in-content",
        "wire-garbage-when-long",
        "bench-prefix-cache", "bench-reasoning-only", "bench-cut", "bench-ttft+40",
        "bench-tpot+40", "bench-throughput-40", "bench-qps-40",
        "bench-buffered", "bench-reasoning-dropped",
        "wire-sentinel-logprobs", "wire-zero-logprobs",
        "own-weights-6bit", "own-sound",
        *NAMED, "sound-stress")  # fmt: skip
EVERY, FAST_EVERY = 4, 6
BOTH_COLOURS = ("inputs", "precision", "needle", "performance", "stress")
"""Beginnings of the thresholds that the fast choice shows red once and green once."""
TIMED = ("timing", "bench")
"""Groups of rows whose verdicts hang on the pace of the machine."""


def main() -> int:
    parser = _parser()
    options = parser.parse_args()
    rows = all_rows(repeat=options.repeat)
    wanted = [row for row in rows if _wanted(row, options)]
    for pattern in options.rows or ():
        if not fnmatch.filter([row.id for row in rows], pattern):
            parser.error(f"--rows {pattern}: no row is called so")
    state: Path = options.state
    every = options.every or (FAST_EVERY if options.fast else EVERY)
    runs = Runs(
        state / f"{product_version(ROOT)}-{'fast-' * options.fast}{every}",
        named_alone=options.fast,
        prompts=one_prompt_in(every, state / f"prompts-{every}.json"),
    )
    try:
        without = _record(runs, wanted)
        not_run = _run(runs, [row for row in wanted if row.against not in without],
                       again=options.again, jobs=options.jobs)  # fmt: skip
    except (NotMeasured, ReferenceServerError) as error:
        print(f"detection: {error}", *end_of(runs.log(BASELINE)), sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    outcomes = runs.outcomes()
    hours = sum(outcome.seconds for outcome in outcomes.values()) / 3600
    told = (
        f"Measured {date.today().isoformat()} on {os.cpu_count()} cores ({platform.machine()}), "
        f"product {product_version(ROOT)}, profile `embedded`{f', one prompt in {every}' * (every > 1)}.",
        f"The rows took {hours:.1f} hours, added up.",
    )
    whole = not options.fast and not counts(rows, outcomes)["not run"]
    beside = state / ("fast.md" if options.fast else "detection.md")
    output = options.output or (Path(__file__).with_suffix(".md") if whole else beside)
    output.write_text(markdown(wanted if options.fast else rows, outcomes, told=told), "utf-8")
    found = counts(wanted, outcomes)
    print(", ".join(f"{name}: {number}" for name, number in found.items()), f"; the table is in {output}")
    unproven = _unproven(wanted, outcomes) if options.fast and not options.rows else []
    not_run |= {row.id: without[row.against] for row in wanted if row.against in without}
    for line in trouble(wanted, outcomes, not_run, runs.log):
        print(line)
    for name, missing in unproven:
        print(f"== {name} was never seen {missing}")
    alarms = found["alarms in repetitions"] + found["alarms in other sound runs"]
    sound = found["caught"] == found["at the named checks"] == found["tried"] and not alarms
    return 0 if sound and not found["not run"] and not unproven else 1


def _record(runs: Runs, rows: list[Row]) -> dict[str, str]:
    """Record the baselines that rows need and are not there; why not, by the name of one that cannot be.

    Raises NotMeasured or ReferenceServerError without the one that most rows need.
    """
    without: dict[str, str] = {}
    for name in dict.fromkeys(row.against for row in rows if _possible(row)):
        if runs.baseline(name).is_file():
            continue
        print(f"{name}: {RECORDINGS[name].what}", flush=True)
        try:
            runs.record(RECORDINGS[name])
        except (NotMeasured, ReferenceServerError, vllm_cpu.VllmCpuError) as error:
            if name == BASELINE:
                raise
            without[name] = str(error)
            print(f"    not recorded: {error}", flush=True)
    return without


def _run(runs: Runs, rows: list[Row], *, again: bool, jobs: int) -> dict[str, str]:
    """Run what is left of ``rows``; why not, by the row that could not be."""
    not_run: dict[str, str] = {}
    done = {} if again else runs.outcomes()
    left = [row for row in rows if row.id not in done and _possible(row)]
    timed = [row for row in left if row.group in TIMED]
    print(f"{len(left)} rows to run", flush=True)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            at_once = [row for row in left if row not in timed]
            for line in pool.map(lambda row: _line(runs, row, not_run), at_once):
                print(line, flush=True)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    for row in timed:
        print(_line(runs, row, not_run), flush=True)
    return not_run


def _line(runs: Runs, row: Row, not_run: dict[str, str]) -> str:
    """Run a row; what it said. Why it could not be run is noted in ``not_run``."""
    try:
        outcome = runs.run(row)
    except (NotMeasured, ReferenceServerError, vllm_cpu.VllmCpuError) as error:
        not_run[row.id] = str(error)
        return f"{row.id}: {row.what}\n    not run: {error}"
    red = ", ".join(sorted(outcome.red)) or "nothing red"
    return f"{row.id}: {row.what}\n    exit {outcome.status}, {outcome.seconds:g} s: {red}"


def _possible(row: Row) -> bool:
    on_vllm = row.against == VLLM or row.id.startswith("vllm-")
    return not on_vllm or vllm_cpu.installed(vllm_cpu.default_venv()) is not None


def _unproven(rows: list[Row], outcomes: Mapping[str, Outcome]) -> list[tuple[str, str]]:
    """The thresholds that the fast choice has not shown in both colours, each with the one it lacks."""
    names = load_profile("embedded").thresholds
    columns = {column(name) for name in names if name.startswith(BOTH_COLOURS)}
    shown = (BASELINE, *(row.id for row in rows))
    return one_coloured(sorted(columns), [outcomes[name] for name in shown if name in outcomes])


def _wanted(row: Row, options: argparse.Namespace) -> bool:
    if options.rows:
        return any(fnmatch.fnmatch(row.id, pattern) for pattern in options.rows)
    return row.id in FAST if options.fast else True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", nargs="*", metavar="PATTERN", help="ids of rows, with * and ?")
    parser.add_argument("--fast", action="store_true", help="fewer prompts, and a choice of rows")
    parser.add_argument(
        "--every", type=int, choices=range(1, 11), metavar="N", help="one prompt in N (default 4; --fast: 6)"
    )
    parser.add_argument("--repeat", type=int, default=REPETITIONS, metavar="N", help="sound runs")
    parser.add_argument(
        "--jobs", type=int, choices=(1, 2, 3, 4), default=1, metavar="N", help="rows side by side (default 1)"
    )
    parser.add_argument("--again", action="store_true", help="run rows that were run already")
    parser.add_argument("--state", type=Path, default=ROOT / ".detection", metavar="DIR")
    parser.add_argument("--output", type=Path, metavar="FILE", help="for the table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
