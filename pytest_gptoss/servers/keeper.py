"""Keeps one server that a run has started: its log without secrets, and its end with all its children.

It is a process of its own between the run and the server, so that the server ends however the run ends,
SIGKILL included. On its standard output it says what became of the server, a line of JSON each: ``pid``
when it was started, ``failed`` (an errno) when it could not be, ``exit`` and ``left`` (how many of its
processes went on without it) when it ended by itself. On SIGTERM it ends the server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from pytest_gptoss.model.kept_log import ENDED, ENDING
from pytest_gptoss.model.secret_values import secret_values, secret_words, without

__all__ = ["GRACE_S", "main"]

GRACE_S = 10.0
"""How long a server may take to end on SIGTERM before it is killed."""
_KILL_S = 5.0
_POLL_S = 0.1
_MARK = "PYTEST_GPTOSS_SERVER"
"""The variable by which processes that left the server's group are found."""
_LONGEST = 1 << 16
"""Bytes of a line that are kept back to find a secret in it."""


def main() -> int:
    """Start the server and wait until it, this process's parent, or the run's patience ends."""
    options = _options()
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    mark = uuid.uuid4().hex
    with options.log.open("ab", buffering=0) as log:
        try:
            server = _start(options, mark)
        except OSError as error:
            _say(failed=error.errno or 0)
            return 1
        guard = _guard(server.pid)
        _say(pid=server.pid)
        copying = _copying(server, log, options)
        by_itself = False
        try:
            by_itself = _wait(server, mark, asked, options.parent_pid)
        finally:
            if not by_itself:
                _note(log, ENDING)
            _end(server, mark)
            copying()
            if not by_itself:
                _note(log, ENDED)
            guard.communicate()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent-pid", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--own-log", type=Path)
    parser.add_argument("--directory")
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def _start(options: argparse.Namespace, mark: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        options.command,
        cwd=options.directory,
        env={**os.environ, _MARK: mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a process group of its own, so that its workers end with it
    )


def _guard(group: int) -> subprocess.Popen[bytes]:
    """Start a process that kills the server's group once this process is gone, be it by SIGKILL."""
    return subprocess.Popen(
        ["sh", "-c", 'read -r _; kill -s KILL -- "-$0"', str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait(server: subprocess.Popen[bytes], mark: str, asked: threading.Event, parent: int) -> bool:
    """Until the server ends by itself, which is said, or it shall be ended; whether it ended by itself."""
    while not asked.is_set() and os.getppid() == parent:
        if server.poll() is not None:
            left = len(list(_processes(mark, group=server.pid)))
            _say(exit=server.returncode, left=left)
            return True
        asked.wait(_POLL_S)
    return False


def _say(**said: int) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        print(json.dumps(said), flush=True)


# -- the end ----------------------------------------------------------------------------------


def _end(server: subprocess.Popen[bytes], mark: str) -> None:
    """End the server, its group, and what has left the group: kindly first, then for certain."""
    for number, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, _KILL_S)):
        deadline = time.monotonic() + patience_s
        _signal_all(server.pid, mark, number)
        while _alive(server, mark) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            if number == signal.SIGKILL:
                _signal_all(server.pid, mark, number)  # what was started meanwhile


def _alive(server: subprocess.Popen[bytes], mark: str) -> bool:
    if server.poll() is None:
        return True
    return any(True for _ in _processes(mark, group=server.pid))


def _signal_all(group: int, mark: str, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
    for pid in list(_processes(mark, group=group)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _processes(mark: str, *, group: int) -> Iterator[int]:
    """The processes of the group, and those that carry the mark; where /proc tells of them."""
    wanted = f"{_MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):  # it is gone, or another user's
            state, _, pgrp = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            ours = int(pgrp) == group or wanted in (folder / "environ").read_bytes().split(b"\0")
            if ours and state != "Z":
                yield int(folder.name)


# -- the log ----------------------------------------------------------------------------------


def _note(log: IO[bytes], line: str) -> None:
    with contextlib.suppress(OSError):  # a full disk must not keep the server alive
        log.write(f"{line}\n".encode())


def _copying(
    server: subprocess.Popen[bytes], log: IO[bytes], options: argparse.Namespace
) -> Callable[[], None]:
    """Begin to copy what the server says to the log, without secrets; returns what waits for the rest."""
    secrets = (*secret_values(os.environ), *secret_words(options.command))
    own_log: Path | None = options.own_log
    ended = threading.Event()
    lock = threading.Lock()

    def keep(data: bytes) -> None:
        clean = without(data.decode("utf-8", "surrogateescape"), secrets)
        with lock, contextlib.suppress(OSError):  # a full disk must not end the server
            log.write(clean.encode("utf-8", "surrogateescape"))

    sources = [_piped(server)] if own_log is None else [_piped(server), _followed(own_log, ended)]
    threads = [threading.Thread(target=_copy, args=(each, keep), daemon=True) for each in sources]
    for thread in threads:
        thread.start()

    def finish() -> None:
        ended.set()
        for thread in threads:
            thread.join(2.0)

    return finish


def _copy(source: Iterator[bytes], keep: Callable[[bytes], None]) -> None:
    """Keep whole lines only: a secret that two reads share is found."""
    waiting = b""
    for data in source:
        waiting += data
        end = max(waiting.rfind(b"\n"), waiting.rfind(b"\r")) + 1
        if not end and len(waiting) > _LONGEST:
            end = len(waiting)
        if end:
            keep(waiting[:end])
            waiting = waiting[end:]
    if waiting:
        keep(waiting)


def _piped(server: subprocess.Popen[bytes]) -> Iterator[bytes]:
    pipe = server.stdout.fileno() if server.stdout is not None else -1
    while data := os.read(pipe, 1 << 16):
        yield data


def _followed(path: Path, ended: threading.Event) -> Iterator[bytes]:
    """What a file gains, until ``ended``."""
    offset = 0
    while True:
        last = ended.is_set()
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(offset)
            data = file.read()
            offset += len(data)
            yield data
        if last:
            return
        ended.wait(_POLL_S)


if __name__ == "__main__":
    sys.exit(main())
