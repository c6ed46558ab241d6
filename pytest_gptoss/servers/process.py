"""Our servers as child processes: start, wait until ready, stop.

A child runs in a new session, so that Ctrl-C at the terminal reaches only the process that started it, which
then stops it. The child watches that process and ends with it (``lifetime.py``). When it is ready it prints
one line of JSON with its ``url``. No API key of this process's environment is passed on to it.
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
from pytest_gptoss.model.message import say

__all__ = ["ServerProcess"]

_STOP_S = 5.0
_LATE = say("it is not ready in time, raise --gptoss-ready-timeout")


class ServerProcess:
    """A started server. Call ``stop``, or use it as a context manager.

    ``what`` names it in messages; ``url`` is empty until ``wait_ready`` has returned.
    """

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
        """Start a server and return at once. Its log goes to ``log_file``, or to a temporary file.

        ``environment`` is added to this process's environment, whose API keys are left out. Raises OSError
        when the command or the log file cannot be opened.
        """
        # A file, not a pipe: a server that logs much would block on a pipe that nobody reads. stop() closes
        # it.
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

        ``late`` is the reason to give when the time runs out and the server has logged nothing.

        Raises:
            ReferenceServerError: the process ended, or the time ran out; it is stopped first.
        """
        while not self.url:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._failure(late) from None
            if line is None:
                self.process.wait()
                raise self._failure(say("exit status {status}", status=self.process.returncode))
            self.url = _url(line)

    def hear(self, within_s: float) -> str | None:
        """The next line that the process printed, empty when none came; None when it has ended."""
        try:
            return self._lines.get(timeout=max(0.0, within_s))
        except queue.Empty:
            return ""

    def stop(self, patience_s: float = _STOP_S) -> None:
        """End the process and wait for it, so long in seconds before it is killed; may be called twice."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(patience_s)
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
        # Reads to the end of the output, also after the ready line: a full pipe would block the server.
        for line in self.process.stdout or ():
            self._lines.put(line)
        self._lines.put(None)

    def _failure(self, reason: str) -> ReferenceServerError:
        last = _last_line(self._log)
        self.stop()
        return ReferenceServerError(
            say("{server} did not start: {reason}", server=self.what, reason=last or reason)
        )


def _url(line: str) -> str:
    """The address in a line of the server; empty for a line that a library printed."""
    try:
        ready = json.loads(line)
    except ValueError:
        return ""
    return str(ready.get("url", "")) if isinstance(ready, dict) else ""


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
