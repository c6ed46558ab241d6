"""What goes wrong while a run is reported: noted, told at the end, and no reason to write less."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pytest_gptoss.model.errors import GptossError, MissingExtra

__all__ = ["Problems"]


class Problems:
    """``lines`` are faults, which fail the run; ``missing`` tells of a report that needs another package."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.missing: str | None = None

    @contextlib.contextmanager
    def noting(self, what: str, *, file: str = "") -> Iterator[None]:
        """Note what goes wrong, whatever it is: one report's fault costs neither the others nor JUnit's.

        ``file`` is the report that is being written, if any.
        """
        try:
            yield
        except MissingExtra as error:
            self.missing = f"no {file}: {error}"
        except (GptossError, OSError) as error:
            self.lines.append(f"{what}: {error}")
        except Exception as error:
            self.lines.append(f"{what}: {type(error).__name__}: {error}")
