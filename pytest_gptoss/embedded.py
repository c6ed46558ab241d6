"""Reference servers as child processes: started, waited for, and always ended.

A child gets a session of its own, so that Ctrl-C at the terminal reaches only the process that started
it, which then stops it; and it watches that process, so that it never outlives it.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO

from pytest_gptoss.errors import ReferenceServerError

__all__ = ["PINNED_DATE", "ServerProcess", "start_pair", "start_reference"]

PINNED_DATE = "2026-01-01"
"""The date in the prompts of the embedded pair, so that its answers do not change with the day."""

_STOP_S = 5.0
_READY_S = 120.0
_DATE = "VLLM_SYSTEM_START_DATE"
_KEY = "VLLM_API_KEY"
_PAIR = {"npu": "bfloat16", "gpu": "float32"}


class ServerProcess:
    """A running server. Stop it, or use it as a context."""

    def __init__(self, process: subprocess.Popen[str], log: IO[bytes]) -> None:
        self.process = process
        self.url = ""
        self._log = log
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="gptoss-stdout", daemon=True)
        self._reader.start()

    def wait_ready(self, deadline: float) -> None:
        """Wait for the line that names the address, until ``deadline`` on the monotonic clock.

        Raises:
            ReferenceServerError: the process ended, or the time ran out; it is stopped then.
        """
        while not self.url:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._failure("it is not ready in time, raise --gptoss-ready-timeout") from None
            if line is None:
                self.process.wait()
                raise self._failure(f"exit status {self.process.returncode}")
            self.url = _url(line)

    def stop(self) -> None:
        """End the process and wait for that; safe to call twice."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._lines.put(line)
        self._lines.put(None)

    def _failure(self, reason: str) -> ReferenceServerError:
        last = _last_line(self._log)
        self.stop()
        return ReferenceServerError(f"the reference server did not start: {last or reason}")


def start_reference(
    model: str,
    dtype: str,
    *,
    defect: str | None = None,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    ready_timeout: float = _READY_S,
    log_file: Path | None = None,
) -> ServerProcess:
    """Start a server on a free port of the loopback and wait until it answers.

    ``environment`` is added to this process's own, whose API key is not passed on; ``arguments`` to the
    command line. The server's log goes to ``log_file``, or nowhere.

    Raises:
        ReferenceServerError: it did not start within ``ready_timeout`` seconds; it says why.
    """
    deadline = time.monotonic() + ready_timeout
    server = _launch(
        model,
        dtype,
        defect=defect,
        environment=environment or {},
        arguments=arguments,
        log_file=log_file,
    )
    _wait_for_all([server], deadline)
    return server


def start_pair(
    *,
    defects: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    ready_timeout: float = _READY_S,
    log_dir: Path | None = None,
) -> dict[str, ServerProcess]:
    """Start the embedded pair side by side: the tiny model as ``npu`` (bfloat16) and ``gpu`` (float32).

    Both get one date for their prompts. ``defects`` maps a name of the pair to a defect; logs go to
    ``log_dir``/NAME.log, or nowhere.

    Raises:
        ReferenceServerError: one did not start within ``ready_timeout`` seconds; none is left running.
    """
    deadline = time.monotonic() + ready_timeout
    shared = {_DATE: PINNED_DATE, **(environment or {})}
    servers: dict[str, ServerProcess] = {}
    try:
        for name, dtype in _PAIR.items():
            servers[name] = _launch(
                "tiny",
                dtype,
                defect=(defects or {}).get(name),
                environment=shared,
                arguments=arguments,
                log_file=log_dir / f"{name}.log" if log_dir else None,
            )
    except BaseException:
        _stop_all(servers.values())
        raise
    _wait_for_all(list(servers.values()), deadline)
    return servers


def _launch(
    model: str,
    dtype: str,
    *,
    defect: str | None,
    environment: Mapping[str, str],
    arguments: Sequence[str],
    log_file: Path | None,
) -> ServerProcess:
    command = [sys.executable, "-m", "pytest_gptoss.reference", "--parent-pid", str(os.getpid())]
    command += ["--model", model, "--dtype", dtype, *arguments]
    if defect is not None:
        command += ["--defect", defect]
    inherited = {name: value for name, value in os.environ.items() if name != _KEY}
    # Open for as long as the process lives; ServerProcess.stop() closes it.
    log: IO[bytes] = log_file.open("w+b") if log_file else TemporaryFile()  # noqa: SIM115
    try:
        process = subprocess.Popen(
            command,
            env={**inherited, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except BaseException:
        log.close()
        raise
    return ServerProcess(process, log)


def _wait_for_all(servers: list[ServerProcess], deadline: float) -> None:
    try:
        for server in servers:
            server.wait_ready(deadline)
    except BaseException:
        _stop_all(servers)
        raise


def _stop_all(servers: Iterable[ServerProcess]) -> None:
    for server in servers:
        server.stop()


def _url(line: str) -> str:
    """The address in the server's own line; a line that a library printed has none."""
    try:
        said = json.loads(line)
    except ValueError:
        return ""
    return str(said.get("url", "")) if isinstance(said, dict) else ""


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
