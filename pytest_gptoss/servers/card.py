"""Managed servers take turns: one runs at a time, since one card holds one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.model.serve_command import ServeCommand
from pytest_gptoss.servers.managed import ManagedServer, container_advice, free_port

__all__ = ["Card"]


class Card:
    """Starts the server that is asked for and ends the one before it.

    One that did not start is not tried again. ``tell`` gets a line before each start and at each end.
    """

    def __init__(self, *, ready_timeout: float, tell: Callable[[str], None]) -> None:
        self._ready_timeout = ready_timeout
        self._tell = tell
        self._running: ManagedServer | None = None
        self._ports: dict[str, int] = {}
        self._problems: dict[str, ReferenceServerError] = {}

    def url(self, name: str, command: ServeCommand, log: Path) -> str:
        """The address of a server, started now if it is not the running one. May take minutes.

        Raises ReferenceServerError when it does not start, or did not when it was asked for before. One that
        has died since it was started is not started again: what is asked of it fails and says so.
        """
        if self._running is not None and self._running.name == name:
            return self._running.url
        if name in self._problems:
            raise self._problems[name]
        self.end()
        port = self._ports.setdefault(name, free_port())
        self._tell(f"gptoss: starting {name}: {command.shown}")
        try:
            self._running = ManagedServer.start(
                name, command, log, ready_timeout=self._ready_timeout, tell=self._tell, port=port
            )
        except ReferenceServerError as error:
            self._problems[name] = error
            raise
        return self._running.url

    def end(self) -> None:
        """End the running server, if there is one, and say what it may have left."""
        running, self._running = self._running, None
        if running is None:
            return
        running.stop()
        advice = container_advice(running.name, running.command)
        if advice is not None:
            self._tell(advice)
