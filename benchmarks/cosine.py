"""How fast hidden states are compared, and in how much memory, when both sides are files on disk.

    python benchmarks/cosine.py                     # 131,072 x 2,880 float32 a side, 3 GB of files
    python benchmarks/cosine.py --tokens 16384      # smaller

Two files are written to a temporary directory and read back through memory maps. The yardstick is
what numpy needs to sum the same files: one read of every byte, almost no arithmetic.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pytest_gptoss.judge.metrics.hidden import closeness
from pytest_gptoss.model.gptoss import CONTEXT
from pytest_gptoss.model.results import HiddenStates

WIDTH = 2880
ROWS_AT_ONCE = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tokens", type=int, default=CONTEXT)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--step", choices=("write", "read", "compare"), help=argparse.SUPPRESS)
    parser.add_argument("--files", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step == "write":
        write(options.files, options.tokens)
    elif options.step:
        measure(options.step, options.files)
    else:
        compare_both(options.tokens, options.rounds)


def compare_both(tokens: int, rounds: int) -> None:
    """Write the files, then time both readers in turn.

    Each step is a process of its own, started by one that stays small: a child's peak begins at its parent's.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        run("write", directory, tokens)
        gigabytes = 2 * tokens * WIDTH * 4 / 1e9
        print(f"{tokens} x {WIDTH} float32 a side, {gigabytes:.2f} GB in all; best of {rounds} rounds")
        runs = [
            {what: json.loads(run(what, directory, tokens)) for what in ("read", "compare")}
            for _ in range(rounds)
        ]
    best = {what: min((each[what] for each in runs), key=lambda each: each["seconds"]) for what in runs[0]}
    for what, figures in best.items():
        print(
            f"{what:8} {figures['seconds']:6.2f} s  {gigabytes / figures['seconds']:6.2f} GB/s"
            f"  peak resident {figures['peak_mib']:5.0f} MiB"
        )
    print(f"ratio    {best['read']['seconds'] / best['compare']['seconds']:.2f} of the speed of a plain read")


def write(directory: Path, tokens: int) -> None:
    rng = np.random.default_rng(0)
    sides = [
        np.lib.format.open_memmap(directory / f"{side}.npy", "w+", np.float32, (tokens, WIDTH))
        for side in ("tested", "reference")
    ]
    for start in range(0, tokens, ROWS_AT_ONCE):
        rows = rng.standard_normal((min(ROWS_AT_ONCE, tokens - start), WIDTH), dtype=np.float32)
        sides[1][start : start + len(rows)] = rows
        rows += 0.01 * rng.standard_normal(rows.shape, dtype=np.float32)
        sides[0][start : start + len(rows)] = rows
    for side in sides:
        side.flush()


def run(step: str, directory: Path, tokens: int) -> str:
    command = [sys.executable, __file__, "--step", step, "--files", str(directory), "--tokens", str(tokens)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure(what: str, directory: Path) -> None:
    tested, reference = (
        np.load(directory / f"{side}.npy", mmap_mode="r") for side in ("tested", "reference")
    )
    ids = tuple(range(len(tested)))
    start = time.perf_counter()
    if what == "read":
        np.sum(tested)
        np.sum(reference)
    else:
        (result,) = closeness([(HiddenStates("s", ids, tested), HiddenStates("s", ids, reference))])
    seconds = time.perf_counter() - start
    if what == "compare":
        check(result.cosine)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "peak_mib": peak_kib / 1024}))


def check(cosine: np.ndarray) -> None:
    """Refuse to time a wrong result: noise of 1% makes a cosine of 1 / sqrt(1.0001)."""
    if not abs(float(cosine.mean()) - 1.0001**-0.5) < 1e-6:
        raise SystemExit(f"mean cosine {cosine.mean()} is not what the files hold")


if __name__ == "__main__":
    main()
