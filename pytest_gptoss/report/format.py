"""What a report format is: the file it writes, and how that is made from a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.language import Language

__all__ = ["Format", "Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """What reports are made from: the report document, and what a run alone has beside it.

    ``requests`` returns every measured request; none when a stored run is rendered again.
    """

    document: Mapping[str, Json]
    language: Language
    requests: Callable[[], Iterable[Mapping[str, Json]]] = tuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One report, a file in the report directory.

    ``name`` is what ``pytest-gptoss report --format`` calls it; several formats may share one. ``render``
    returns the file's text, or for a ``.json`` file its document. Raises MissingExtra, when packages of an
    extra are not installed.
    """

    name: str
    file: str
    render: Callable[[Source], str | Json]
    about: str = ""
    """What the command's help says about the name, where that does not say it."""
    schema: str = ""
    """The file in ``schemas/`` that describes a ``.json`` file."""
    compact: bool = False
    """Whether a ``.json`` file is written without indentation, because it is long."""
    by_run: bool = True
    """Whether every run writes it; the others are written by the command alone."""
    by_run_alone: str = ""
    """Why the command cannot write it again, where it cannot: what the report document lacks."""

    @property
    def is_json(self) -> bool:
        """Whether the file is a JSON document."""
        return self.file.endswith(".json")

    @property
    def title(self) -> str:
        """How a message calls it."""
        return self.file if self.by_run_alone else f"the reports of the kind {self.name}"
