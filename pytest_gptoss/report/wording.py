"""The words of the reports in English and Chinese, from one catalogue: ``messages.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pytest_gptoss.judge.figures import exact, number
from pytest_gptoss.judge.trend import trended
from pytest_gptoss.judge.verdicts import PLAIN_UNITS
from pytest_gptoss.model.language import Language

__all__ = ["Wording", "catalogue", "split_id"]

_ABSENT = "-"


@cache
def catalogue() -> Mapping[str, Mapping[Language, str]]:
    """Every message by its key, in every language."""
    messages: Mapping[str, Mapping[Language, str]] = json.loads(
        Path(__file__).with_name("messages.json").read_text("utf-8")
    )
    return messages


def split_id(threshold_id: str) -> tuple[str, str]:
    """A threshold's id as its first two words and what follows: a cell or a level, ``r0.5`` too."""
    family, _, rest = threshold_id.partition(".")
    name, _, cell = rest.partition(".")
    return f"{family}.{name}", cell


class Wording:
    """Messages in one language: ``translate("counts", passed=3)``."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        """The message of a key with its values filled in; raises KeyError for a key that is none."""
        return catalogue()[key][self.language].format(**values)

    def word(self, group: str, word: str) -> str:
        """A word of a group such as ``kind`` or ``unit``; one that is not in the catalogue stays as it is."""
        key = f"{group}.{word}"
        return self(key) if key in catalogue() else word

    def name(self, threshold_id: str) -> str:
        """What people call a threshold; its id, when the catalogue has no name for it."""
        watched = trended(threshold_id)
        if watched is not None:
            return self("name.trend.*", cell=self.name(watched))
        key = f"name.{threshold_id}"
        if key in catalogue():
            return self(key)
        family, cell = split_id(threshold_id)
        key = f"name.{family}.*"
        return self(key, cell=cell) if key in catalogue() else threshold_id

    def figure(self, value: float | None, unit: str = "", *, apart_from: float | None = None) -> str:
        """A figure as people read it: at least four digits, ``-`` for one that does not exist.

        ``apart_from``: as many digits as it takes to tell the two from each other.
        """
        if value is None:
            return _ABSENT
        return number(value, apart_from=apart_from) + self.unit(unit)

    def limit(self, value: float, unit: str = "") -> str:
        """A limit with all its digits."""
        return exact(value) + self.unit(unit)

    def when(self, moment: str | None) -> str:
        """A time of the document, to the second; all of them are UTC."""
        return _ABSENT if moment is None else f"{moment[:19].replace('T', ' ')} UTC"

    def unit(self, unit: str) -> str:
        """A unit behind its figure; shares, F and cosine need none."""
        if unit in ("", *PLAIN_UNITS):
            return ""
        return f"{'' if unit.startswith('%') else ' '}{self.word('unit', unit)}"
