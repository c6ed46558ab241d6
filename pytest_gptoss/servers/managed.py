"""A server that the user's own command line starts: waited for, its log kept, ended with all its children."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.model.message import say
from pytest_gptoss.model.serve_command import HOST, ServeCommand
from pytest_gptoss.servers.keeper import GRACE_S
from pytest_gptoss.servers.process import ServerProcess
from pytest_gptoss.servers.stages import last_lines, port_told, stage_of

__all__ = ["ManagedServer", "container_advice", "free_port"]

_SETTLE_S = 1.0
"""A program that starts a server in the background ends about when that answers."""
_POLL_S = 0.25
_HEALTH_S = 5.0
_STOP_S = GRACE_S + 10.0
"""How long the keeper may take: it gives the server time, kills what is left, and waits for it."""
_ELSEWHERE_S = 5.0
"""How long a server that says that it listens at another port may still come up at its own."""
_TAIL = 1 << 15
"""Bytes at a log's end that are looked at."""
_TAKEN = ("address already in use", "errno 98")
_LEAST_TELL_S = 2.0


class ManagedServer:
    """A started server. Call ``stop``, or use it as a context manager. ``url`` is its root."""

    def __init__(
        self, name: str, command: ServeCommand, port: int, log: Path, *, tell: Callable[[str], None]
    ) -> None:
        self.name = name
        self.command = command
        self.port = port
        self.log = log
        self.url = f"http://{HOST}:{port}"
        self._tell = tell
        self._began_at = log.stat().st_size if log.exists() else 0
        self._scratch = tempfile.TemporaryDirectory(prefix="gptoss-serve-")
        self._keeper = self._launch()
        self._said: dict[str, int] = {}

    @classmethod
    def start(
        cls,
        name: str,
        command: ServeCommand,
        log: Path,
        *,
        ready_timeout: float,
        tell: Callable[[str], None],
        port: int | None = None,
    ) -> ManagedServer:
        """Start it and return it when it answers; what it says is added to ``log``, without secrets.

        ``tell`` gets what it is doing meanwhile. ``port`` None takes a free one.

        Raises:
            ReferenceServerError: it did not start, with the reason and its last lines; nothing is left.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        server = cls(name, command, port or free_port(), log, tell=tell)
        try:
            server._wait_until_healthy(time.monotonic() + ready_timeout, ready_timeout)
        except BaseException:
            server.stop()
            # A container may go on although the program that started it has ended.
            advice = container_advice(name, command)
            if advice is not None:
                tell(advice)
            raise
        return server

    def stop(self) -> None:
        """End the server and all its children, and wait for that; may be called twice."""
        self._keeper.stop(_STOP_S)
        self._scratch.cleanup()

    def told(self) -> str:
        """The end of what the server has logged since it was started."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._began_at, size - _TAIL))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def __enter__(self) -> ManagedServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- starting -----------------------------------------------------------------------------

    def _launch(self) -> ServerProcess:
        own_log = Path(self._scratch.name) / "server.log"
        keeper = [sys.executable, "-m", "pytest_gptoss.servers.keeper", "--parent-pid", str(os.getpid())]
        keeper += ["--log", str(self.log.resolve())]
        if self.command.logs_itself:
            keeper += ["--own-log", str(own_log)]
        if self.command.directory is not None:
            keeper += ["--directory", str(self.command.directory.resolve())]
        command = [*keeper, "--", *self.command.filled(port=self.port, log=own_log)]
        return ServerProcess.launch(command, self.name, environment=self.command.environment)

    def _wait_until_healthy(self, deadline: float, timeout: float) -> None:
        shown, elsewhere_since, told_at = "", 0.0, 0.0
        if _answers(self.port):
            raise self._failure(_taken(self.port))
        while True:
            self._hear()
            if _healthy(self.url):
                self._see_that_it_stays()
                return
            log, now = self.told(), time.monotonic()
            if now > deadline:
                raise self._failure(self._late(timeout))
            stage = stage_of(log) or ""
            if stage != shown and now - told_at > _LEAST_TELL_S:
                shown, told_at = stage, now
                self._tell(
                    f"gptoss: {self.name}: {stage}, {deadline - now:.0f} s left (--gptoss-ready-timeout)"
                )
            if port_told(log) in (None, self.port) or self.command.container is not None:
                elsewhere_since = now
            elif now - elsewhere_since > _ELSEWHERE_S:
                raise self._failure(self._elsewhere(port_told(log)))

    def _see_that_it_stays(self) -> None:
        """Raise when the command ends right after the server answers: it has left it in the background."""
        settled = time.monotonic() + _SETTLE_S
        while time.monotonic() < settled:
            self._hear()

    def _hear(self) -> None:
        """Wait a moment for what the keeper says; raises when the server has ended or never began."""
        line = self._keeper.hear(_POLL_S)
        if line:
            self._said.update(_read(line))
        if "failed" in self._said:
            raise self._failure(self._unstartable(self._said["failed"]))
        if "exit" in self._said:
            # The rest of its log is kept by the time the keeper has ended.
            self._keeper.stop(_STOP_S)
            raise self._failure(self._ended(self._said["exit"], self._said.get("left", 0)))
        if line is None:
            raise self._failure(say("the process that keeps it was ended"))

    # -- what went wrong ----------------------------------------------------------------------

    def _failure(self, reason: str) -> ReferenceServerError:
        lines = last_lines(self.told())
        if lines:
            reason = say("{reason}; its log ends with: {lines}", reason=reason, lines=" | ".join(lines))
        return ReferenceServerError(
            say("{server} did not start: {reason}", server=self.command.shown, reason=reason)
        )

    def _unstartable(self, number: int) -> str:
        program = self.command.words[0]
        if number == errno.ENOENT:
            return say(
                "there is no program {program}: install it, or name it with its whole path", program=program
            )
        if number in (errno.EACCES, errno.ENOEXEC):
            return say(
                "{program} cannot be executed ({error}): make it executable (chmod +x), or name the program "
                "that runs it first",
                program=program,
                error=os.strerror(number),
            )
        return say("{program}: {error}", program=program, error=os.strerror(number))

    def _ended(self, status: int, left: int) -> str:
        if any(word in self.told().lower() for word in _TAKEN):
            return _taken(self.port)
        if left or self.command.detached:
            return say(
                "its command ended with status {status} and went on in the background: "
                "start it in the foreground, without &, nohup, setsid, -d or --daemon",
                status=status,
            )
        if status == 0:
            return say(
                "its command ended with status 0 before anything answered: it must run as long as it serves"
            )
        return say("its command ended with status {status} before anything answered", status=status)

    def _elsewhere(self, port: int | None) -> str:
        return say(
            "its log says that it listens at port {port}, and the suite asks at {ours}: write {place} where "
            "its port is set, as in --port {place}",
            port=port,
            ours=self.port,
            place="{port}",
        )

    def _late(self, timeout: float) -> str:
        return say(
            "nothing answers at port {port} after {seconds} s: raise --gptoss-ready-timeout, or see that "
            "{place} stands where its port is set",
            port=self.port,
            seconds=f"{timeout:g}",
            place="{port}",
        )


def _taken(port: int) -> str:
    return say("port {port} is taken by another server: end that one, or start again", port=port)


def container_advice(name: str, command: ServeCommand) -> str | None:
    """How to end what only the container's own program can end; None where there is no container."""
    if command.container is None:
        return None
    called = command.container_name or f"NAME ({command.container} ps tells it; --name sets it)"
    return (
        f"gptoss: {name} runs in a container: the suite ends the program {command.container}; should the "
        f"container go on, end it with: {command.container} stop {called}"
    )


def free_port() -> int:
    """A port of the loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    """Whether somebody accepts connections at a port of the loopback."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def _healthy(url: str) -> bool:
    """Whether a server answers, whatever it says short of an error of its own."""
    loopback = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with loopback.open(f"{url}/health", timeout=_HEALTH_S) as answer:
            return bool(answer.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False


def _read(line: str) -> Mapping[str, int]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
