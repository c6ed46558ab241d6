"""The reference servers a run starts for itself: the embedded pair, or the CPU reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_gptoss.embedded import start_pair, start_reference
from pytest_gptoss.server_process import ServerProcess
from pytest_gptoss.settings import Settings

__all__ = ["Servers"]


class Servers:
    """Starts what the settings ask for at the first call of ``urls``, and stops it once."""

    def __init__(
        self, settings: Settings, *, tell: Callable[[str], None], urls: Mapping[str, str] | None = None
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._urls = dict(urls) if urls is not None else None
        self._processes: list[ServerProcess] = []

    def urls(self) -> Mapping[str, str]:
        """Device name -> address of every server started for this run."""
        if self._urls is None:
            self._urls = self._start()
        return self._urls

    def stop(self) -> None:
        """End the processes started here; those named by the user are left alone."""
        while self._processes:
            self._processes.pop().stop()

    def _start(self) -> dict[str, str]:
        urls: dict[str, str] = {}
        if self._settings.embedded:
            self._tell("gptoss: starting the embedded pair (transformers on CPU)")
            for name, process in start_pair(ready_timeout=self._settings.ready_timeout_s).items():
                self._processes.append(process)
                urls[name] = process.url
        if self._settings.cpu_model is not None:
            self._tell(f"gptoss: loading the CPU reference from {self._settings.cpu_model.name}")
            process = start_reference(
                str(self._settings.cpu_model), "float32", ready_timeout=self._settings.ready_timeout_s
            )
            self._processes.append(process)
            urls["cpu"] = process.url
        return urls
