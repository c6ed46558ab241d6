"""The reference servers a run starts for itself: the embedded pair, or the CPU reference."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

from pytest_gptoss.config.settings import Settings
from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.servers.embedded import start_pair, start_reference
from pytest_gptoss.servers.process import ServerProcess

__all__ = ["Servers", "Started"]


@dataclass(frozen=True)
class Started:
    """What came of starting servers, by device name: ``urls`` of those that run, why others do not."""

    urls: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Json]:
        """JSON form, for other processes of the run."""
        return asdict(self)


class Servers:
    """Starts what the settings ask for at the first call of ``started``, once, and stops it once.

    A server that does not start is not tried again: it is that device's problem, and others are judged.
    """

    def __init__(
        self, settings: Settings, *, tell: Callable[[str], None], started: Started | None = None
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._started = started
        self._processes: list[ServerProcess] = []

    def started(self) -> Started:
        """The address of every server started for this run, and the problem of each that is not there."""
        if self._started is None:
            self._started = self._start()
        return self._started

    def stop(self) -> None:
        """End the processes started here; those named by the user are left alone."""
        while self._processes:
            self._processes.pop().stop()

    def _start(self) -> Started:
        urls: dict[str, str] = {}
        problems: dict[str, str] = {}
        for names, start in self._wanted().items():
            with _told_to(names, problems):
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
def _told_to(names: Iterable[str], problems: dict[str, str]) -> Iterator[None]:
    """Make a failure to start the problem of those that were to be served."""
    try:
        yield
    except ReferenceServerError as error:
        problems.update(dict.fromkeys(names, str(error)))
