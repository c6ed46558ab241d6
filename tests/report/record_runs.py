"""Record the runs that the report tests render: real acceptance runs of the embedded servers.

    python tests/report/record_runs.py [--output DIR] [NAME ...]

Each run is a real one; what is kept of it is its document, ``runs/NAME/acceptance.json``. Record again when
the document's schema changes. ``tools/gallery.py`` records into a folder of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_gptoss.model.resources import acceptance_tests, fixture
from pytest_gptoss.servers.embedded import PINNED_DATE, start_reference

HERE = Path(__file__).parent / "runs"
MEASURED = ("-m", "precision or needle")
EVERY = 6
"""Every sixth embedded prompt: enough to fork, few enough to keep."""


def main(names: Sequence[str], output: Path = HERE) -> None:
    """Record the runs of these names below ``output``, all of them when none is given."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        prompts = json.loads(fixture("prompts", "embedded.json").read_text("utf-8"))
        (work / "prompts.json").write_text(json.dumps(prompts[::EVERY]), "utf-8")
        (work / "limits.toml").write_text('[thresholds."precision.rouge_l"]\nlimit = 0.97\n', "utf-8")
        for name in names or RUNS:
            RUNS[name](work)
            kept = output / name
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(work / "gptoss-report" / "acceptance.json", kept / "acceptance.json")
            document = json.loads((kept / "acceptance.json").read_text("utf-8"))
            print(f"{name}: {document['state']}, {document['run']['verdict']}")


def passing(work: Path) -> None:
    """Two sound servers, and all that is measured of them."""
    _finish(_run(work))


def failing(work: Path) -> None:
    """An NPU with 4-bit experts: answers part somewhere in the middle."""
    _finish(_run(work, *MEASURED, defect="int4-experts"))


def invalid(work: Path) -> None:
    """An NPU whose logits are not finite: its short prompts are answered with errors."""
    _finish(_run(work, "-m", "precision", defect="nan-logits"))


def waived(work: Path) -> None:
    """A waiver, a changed limit, and a part of the rows only."""
    _finish(
        _run(
            work, "-m", "precision", "-k", "not kl", "--gptoss-thresholds=limits.toml",
            "--gptoss-waive=precision.hidden_cosine=no pooling server on this rack",
        )
    )  # fmt: skip


def interrupted(work: Path) -> None:
    """Ctrl-C while the precision prompts are answered, the needles being done."""
    process, stop = _run(work, *MEASURED, slow=True)
    for line in process.stdout or ():
        if "answers" in line:
            process.send_signal(signal.SIGINT)
            break
    _finish((process, stop))


RUNS: dict[str, Callable[[Path], None]] = {
    each.__name__: each for each in (passing, failing, invalid, waived, interrupted)
}

Started = tuple["subprocess.Popen[str]", Callable[[], None]]


def _run(work: Path, *arguments: str, defect: str | None = None, slow: bool = False) -> Started:
    shutil.rmtree(work / "gptoss-report", ignore_errors=True)
    environment = {"VLLM_SYSTEM_START_DATE": PINNED_DATE, "VLLM_SERVER_DEV_MODE": "1"}
    servers = [
        start_reference("tiny", "bfloat16", defect=defect, environment=environment),
        start_reference("tiny", "float32", environment=environment),
    ]
    urls = [f"--{role}-url={server.url}" for role, server in zip(("npu", "gpu"), servers, strict=True)]
    prompts = [] if slow else ["--gptoss-prompts=prompts.json"]
    process = subprocess.Popen(
        [
            sys.executable, "-c",
            "import signal, sys, pytest\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "sys.exit(pytest.main(sys.argv[1:]))",
            str(acceptance_tests()), "-p", "no:cacheprovider", "--gptoss-profile=embedded", *prompts, *urls,
            *arguments,
        ],
        cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip

    def stop() -> None:
        for server in servers:
            server.stop()

    return process, stop


def _finish(started: Started) -> None:
    process, stop = started
    try:
        process.communicate(timeout=1500)
    finally:
        process.kill()
        process.wait()
        stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RUNS))
    parser.add_argument("--output", type=Path, default=HERE, metavar="DIR", help="where the runs are kept")
    known = parser.parse_args()
    main(known.names, known.output.resolve())
