"""How often the audit of a load level finds a fault of batching, and how often it alarms on a sound server.

    python benchmarks/audit.py                     # 20 runs each: the figures in audit.md
    python benchmarks/audit.py --runs 3 --defect none

A run is one load level on the reference server in bfloat16: 150 answers of 32 tokens, 16 in flight, all of
them audited. With ``batch-crosstalk`` one answer in 30 that joins among eight or more attends to a
neighbour's cache row. What counts is the row's verdict, judged as a user's run judges it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.model.inputs import LoadTask
from pytest_gptoss.model.resources import fixture
from pytest_gptoss.model.verdicts import Verdict
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.servers.embedded import PINNED_DATE, start_reference

DEFECTS = ("none", "batch-crosstalk")
TASK = LoadTask(concurrency=(16,), requests=150, max_tokens=32, calibrate=False, audit=None)
PATIENT_S = 900.0
"""Longest wait for a first token: real vLLM on a busy CPU compiles before it scores."""
QUIET_PROMPTS = 12
"""Answers of the device's own that the rule is held against; all 85 would take most of the time."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--defect", nargs="+", choices=DEFECTS, default=DEFECTS)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    found = {defect: list(_verdicts(defect, options.runs)) for defect in options.defect}
    options.output.write_text("\n".join(_page(found, options.runs)), "utf-8")
    print(f"the table is in {options.output}")
    return 0


def _verdicts(defect: str, runs: int) -> Iterator[Verdict]:
    environment = {"VLLM_SYSTEM_START_DATE": PINNED_DATE}
    wrong = None if defect == "none" else defect
    with start_reference("tiny", "bfloat16", defect=wrong, environment=environment) as server:
        for number in range(1, runs + 1):
            verdict = audited(server.url, TASK)
            departed = len(verdict.details.get("departures", ()))
            print(f"{defect} {number}: {verdict.status}, {departed} of {verdict.n} depart", flush=True)
            yield verdict


def audited(url: str, task: LoadTask, waivers: Mapping[str, str] = MappingProxyType({})) -> Verdict:
    """The verdict on the audit of the level of ``task`` at 16 in flight; the server's alone, no baseline."""
    prompts = json.loads(fixture("prompts", "embedded.json").read_text("utf-8"))[:QUIET_PROMPTS]
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
        few = Path(scratch) / "prompts.json"
        few.write_text(json.dumps(prompts, ensure_ascii=False), "utf-8")
        settings = Settings(
            devices=(DeviceSettings("npu", "npu", url),),
            profile="embedded",
            load=task,
            prompts=few,
            report=Path(scratch) / "report",
            waivers=dict(waivers),
            first_token_timeout_s=PATIENT_S,
        )
        run = AcceptanceRun(settings, make_plan(settings), tell=lambda _: None)
        run.begin()
        try:
            return run.verdict("npu", "stress.audit.c16")
        finally:
            run.close()


def _page(found: dict[str, list[Verdict]], runs: int) -> Iterator[str]:
    yield from (
        "# The audit of a load level",
        "",
        "Made by `python benchmarks/audit.py" + ("`." if runs == 20 else f" --runs {runs}`."),
        f"Measured {date.today().isoformat()}: {TASK.requests} answers of {TASK.max_tokens} tokens, 16 in "
        "flight, all audited, on the reference server in bfloat16.",
        "",
        "| server | runs | alarms | answers that departed, least to most | compared tokens a run |",
        "|---|---|---|---|---|",
    )
    for defect, verdicts in found.items():
        judged = [each for each in verdicts if each.value is not None]
        departed = sorted(len(each.details["departures"]) for each in judged)
        tokens = sum(int(each.details["compared"]) for each in judged) // max(1, len(judged))
        alarms = sum(each.status == "FAIL" for each in verdicts)
        spread = f"{departed[0]} to {departed[-1]}" if departed else "-"
        what = "sound" if defect == "none" else defect
        yield f"| {what} | {len(verdicts)} | {alarms} | {spread} | {tokens:,} |"
    yield ""


if __name__ == "__main__":
    raise SystemExit(main())
