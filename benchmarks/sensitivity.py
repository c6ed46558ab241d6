"""What each numeric row sees of damage by degrees: the tables in sensitivity.md.

    python benchmarks/sensitivity.py                       # real vLLM as the device, and the reference server
    python benchmarks/sensitivity.py --device reference    # the reference server alone: a minute a degree
    python benchmarks/sensitivity.py --device vllm --degrees sound weights-6bit noise-0.01
    python benchmarks/sensitivity.py --device chat --chat MODEL_DIR    # what nox -s sensitivity_chat runs

Each degree is the suite's own command, run on a checkpoint with its weights rounded or noise added to them.
The baseline is real vLLM in bfloat16 on the sound checkpoint, recorded once with an FP32 reference beside
it; the device is real vLLM in bfloat16 too, or the reference server. Needs ``python tools/vllm_cpu.py
install``. A degree takes minutes on two cores, so one prompt in four is asked (``--every``).

What was run is kept in ``--state`` for the version of the product and the libraries it was run with; the same
command goes on from there, and the tables name the degrees that were not run.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import vllm_cpu  # noqa: E402
from detection.chat import chat_recording, chat_rows  # noqa: E402
from detection.degrees import DEGREES, degree_rows, table  # noqa: E402
from detection.recordings import RECORDINGS, VLLM, Recording  # noqa: E402
from detection.row import NotMeasured, Row  # noqa: E402
from detection.runs import Runs, one_prompt_in, product_version  # noqa: E402

from pytest_gptoss.model.errors import ReferenceServerError  # noqa: E402

DEVICES = {
    "vllm": "The tiny checkpoint: real vLLM in bfloat16 as the device",
    "reference": "The tiny checkpoint: the reference server in bfloat16 as the device",
    "chat": "A chat model of 135 million parameters: real vLLM in bfloat16 as the device",
}
TINY = ("vllm", "reference")
FORCED = ("--gptoss-compare=forced",)
"""Free answers part at near ties whatever the damage; what is tabled is compared under teacher forcing."""


def main() -> int:
    parser = _parser()
    options = parser.parse_args()
    if "chat" in options.device and not (options.chat / "config.json").is_file():
        parser.error(
            f"--chat {options.chat}: no model folder, it holds no config.json; see nox -s sensitivity_chat"
        )
    state: Path = options.state / f"{product_version(ROOT)}-sensitivity-{options.every}"
    runs = Runs(
        state, prompts=one_prompt_in(options.every, state / "prompts.json"), options=FORCED, keep=True
    )
    try:
        for device in options.device:
            recording = chat_recording(options.chat) if device == "chat" else RECORDINGS[VLLM]
            _run(runs, recording, _rows(device, options.degrees, options.chat))
    except (NotMeasured, ReferenceServerError, vllm_cpu.VllmCpuError) as error:
        print(f"sensitivity: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    options.output.write_text("\n".join(_page(runs, options.every)), "utf-8")
    print(f"the tables are in {options.output}")
    return 0


def _rows(device: str, degrees: Sequence[str], model: Path) -> tuple[Row, ...]:
    return chat_rows(model, degrees) if device == "chat" else degree_rows(device, degrees)


def _run(runs: Runs, recording: Recording, rows: Sequence[Row]) -> None:
    if not runs.baseline(recording.name).is_file():
        print(f"{recording.name}: {recording.what}", flush=True)
        runs.record(recording)
    for row in rows:
        if row.id not in runs.outcomes():
            outcome = runs.run(row)
            print(f"{row.id}: {outcome.seconds:g} s, {outcome.evidence or 'no evidence'}", flush=True)


def _page(runs: Runs, every: int) -> Iterator[str]:
    outcomes = runs.outcomes()
    yield from (
        "# What each numeric row sees",
        "",
        "Made by `python benchmarks/sensitivity.py` from measured runs.",
        f"Measured {date.today().isoformat()} on {os.cpu_count()} cores ({platform.machine()}), product "
        f"{product_version(ROOT)}, vLLM {vllm_cpu.installed(vllm_cpu.default_venv())}, profile `embedded`"
        f"{f', one prompt in {every}' * (every > 1)}.",
        "",
        "Matrices are rounded to integers of so many bits in groups of 32, or get normal noise of so large a",
        "share of their own root mean square. The baseline is a recording of real vLLM in bfloat16 on the",
        "sound checkpoint. The CPU is the reference server in FP32, for the chat model real vLLM in FP32.",
        "`token_match_rate` and `rouge_l` are their forced statistics. The error ratio has its 95% interval",
        "beside it. Figures are in the unit of each row, **bold** beyond its limit; `-` was not measured.",
    )
    for device, title in DEVICES.items():
        yield from ("", f"## {title}", "")
        yield from table(_rows(device, DEGREES, Path()), outcomes)
    yield ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", nargs="+", choices=tuple(DEVICES), default=TINY)
    parser.add_argument("--degrees", nargs="+", choices=DEGREES, default=DEGREES, metavar="DEGREE")
    parser.add_argument("--chat", type=Path, default=Path(), metavar="DIR", help="the chat model's folder")
    parser.add_argument(
        "--every", type=int, choices=range(1, 11), default=4, metavar="N", help="one prompt in N (default 4)"
    )
    parser.add_argument("--state", type=Path, default=ROOT / ".detection", metavar="DIR")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"), metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
