"""Servers of ours as child processes: started, waited for, and always ended.

A child gets a session of its own, so that Ctrl-C at the terminal reaches only the process that started
it, which then stops it; and it watches that process, so that it never outlives it. It prints one line
of JSON with its ``url`` when it is ready. No API key of this process's environment is passed on to it.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO

from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.model.key_variables import without_key_variables

__all__ = ["ServerProcess"]

_STOP_S = 5.0
_LATE = "it is not ready in time, raise --gptoss-ready-timeout"


class ServerProcess:
    """A running server. Stop it, or use it as a context. ``what`` names it in messages."""

    def __init__(self, process: subprocess.Popen[str], log: IO[bytes], what: str) -> None:
        self.process = process
        self.what = what
        self.url = ""
        self._log = log
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="gptoss-stdout", daemon=True)
        self._reader.start()

    @classmethod
    def launch(
        cls,
        command: Sequence[str],
        what: str,
        *,
        environment: Mapping[str, str] | None = None,
        log_file: Path | None = None,
    ) -> ServerProcess:
        """Start a server; its log goes to ``log_file``, or nowhere.

        ``environment`` is added to this process's own, whose API keys are left out.
        """
        # Open for as long as the process lives; stop() closes it.
        log: IO[bytes] = log_file.open("w+b") if log_file else TemporaryFile()  # noqa: SIM115
        inherited = without_key_variables(os.environ)
        try:
            process = subprocess.Popen(
                command,
                env={**inherited, **(environment or {})},
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
        return cls(process, log, what)

    def wait_ready(self, deadline: float, *, late: str = _LATE) -> None:
        """Wait for the line that names the address, until ``deadline`` on the monotonic clock.

        ``late`` is what to say when the time runs out and the server has logged nothing.

        Raises:
            ReferenceServerError: the process ended, or the time ran out; it is stopped then.
        """
        while not self.url:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._failure(late) from None
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
        return ReferenceServerError(f"{self.what} did not start: {last or reason}")


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
