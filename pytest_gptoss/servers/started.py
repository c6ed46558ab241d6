"""The reference servers that a run starts: the embedded pair, or the CPU reference."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

from pytest_gptoss.config.settings import Settings
from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.servers.card import Card
from pytest_gptoss.servers.embedded import start_pair, start_reference
from pytest_gptoss.servers.process import ServerProcess

__all__ = ["Servers", "Started"]


@dataclass(frozen=True)
class Started:
    """The outcome by device name: ``urls`` of servers that run, ``problems`` of those that did not start."""

    urls: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Json]:
        """JSON form, for other processes of the run (xdist workers)."""
        return asdict(self)


class Servers:
    """Starts the servers that the settings ask for, once, at the first call of ``started``.

    A server that does not start is not tried again: that device has a problem, and the others are judged.
    ``tell`` gets a line before each start; ``started`` is what another process of the run has started.
    ``card`` has the servers of the user's command lines, which take turns.
    """

    def __init__(
        self, settings: Settings, *, tell: Callable[[str], None], started: Started | None = None
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._started = started
        self.card = Card(ready_timeout=settings.ready_timeout_s, tell=tell)
        self._processes: list[ServerProcess] = []

    def started(self) -> Started:
        """The address of every server started for this run, or why it did not start. May take minutes."""
        if self._started is None:
            self._started = self._start()
        return self._started

    def stop(self) -> None:
        """End the processes started here; servers that the user named are not touched."""
        self.card.end()
        while self._processes:
            self._processes.pop().stop()

    def _start(self) -> Started:
        urls: dict[str, str] = {}
        problems: dict[str, str] = {}
        for names, start in self._wanted().items():
            with _noting_problems(names, problems):
                processes = start()
                self._processes.extend(processes.values())
                urls.update({name: process.url for name, process in processes.items()})
        return Started(urls, problems)

    def _wanted(self) -> Mapping[tuple[str, ...], Callable[[], Mapping[str, ServerProcess]]]:
        """How to start what the settings ask for, by the devices that it serves."""
        wanted: dict[tuple[str, ...], Callable[[], Mapping[str, ServerProcess]]] = {}
        if self._settings.embedded:
            wanted["npu", "gpu"] = self._pair
        if self._settings.cpu_model is not None:
            wanted[("cpu",)] = self._reference
        return wanted

    def _pair(self) -> Mapping[str, ServerProcess]:
        self._tell("gptoss: starting the embedded pair (transformers on CPU)")
        return start_pair(ready_timeout=self._settings.ready_timeout_s)

    def _reference(self) -> Mapping[str, ServerProcess]:
        model = str(self._settings.cpu_model)
        self._tell(f"gptoss: loading the CPU reference from {model}")
        timeout = self._settings.ready_timeout_s
        return {"cpu": start_reference(model, "float32", ready_timeout=timeout)}


@contextlib.contextmanager
def _noting_problems(names: Iterable[str], problems: dict[str, str]) -> Iterator[None]:
    """Turn a ReferenceServerError into a problem of each device in ``names``."""
    try:
        yield
    except ReferenceServerError as error:
        problems.update(dict.fromkeys(names, str(error)))
