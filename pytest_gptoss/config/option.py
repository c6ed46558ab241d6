"""What one row of the option table says: the option, what it needs and excludes, its rule in a replay."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gptoss.config.option_types import SWITCH, OptionType

if TYPE_CHECKING:
    from pytest_gptoss.model.subjects import Role

__all__ = ["Exclusion", "Need", "OnReplay", "Option"]


class OnReplay(Enum):
    """What becomes of an option when a finished run is judged again (``--gptoss-replay``)."""

    NO_SERVER = "refused: it speaks of servers"
    MEASURED = "refused: it says what to measure"
    STORED = "the stored run's value is used, whatever is given"
    PREFERRED = "the given value is used, else the stored run's"
    SAME = "the given value must be what the stored run measured"
    FREE = "the given value is used"

    @property
    def refusal(self) -> str | None:
        """Why the option is refused; None when it is not."""
        return _REFUSALS.get(self)


_REFUSALS = {
    OnReplay.NO_SERVER: "a replay judges what was measured and asks no server",
    OnReplay.MEASURED: "a replay takes load and needles as they were measured",
}


@dataclass(frozen=True)
class Need:
    """A device that an option means nothing without. ``words``: what is absent, and how to get it.

    ``live``: a recorded device is not enough. ``value``: only this value needs it; None: every one.
    ``always``: refused too where no device at all is named; otherwise such a run is not active and the
    option, given in an ini file say, is left alone.
    """

    role: Role
    words: str
    live: bool = False
    value: str | None = None
    always: bool = False


@dataclass(frozen=True)
class Exclusion:
    """Options that cannot be given beside this one, by key, and why."""

    keys: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Option:
    """One option. ``help`` and ``metavar`` stand in ``pytest --help``; a switch has no metavar.

    ``repeats``: may be given more than once; in environment and ini, one a line. ``by_name``: each value
    may begin with ``NAME=``, a device under test; it is read when the names are known. ``default``: the
    value when it is not given.
    """

    flag: str
    help: str
    metavar: str | None
    type: OptionType
    replay: OnReplay
    default: Any = None
    repeats: bool = False
    by_name: bool = False
    needs: Need | None = None
    excludes: Exclusion | None = None

    @property
    def key(self) -> str:
        """The bare name: ``npu_url``, ``profile``."""
        return self.flag.removeprefix("--").removeprefix("gptoss-").replace("-", "_")

    @property
    def dest(self) -> str:
        """Where pytest keeps the command line's value."""
        return f"gptoss_{self.key}"

    @property
    def env(self) -> str:
        """The environment variable: ``GPTOSS_NPU_URL``."""
        return f"GPTOSS_{self.key.upper()}"

    @property
    def ini(self) -> str:
        """The ini key: ``gptoss_npu_url``."""
        return self.env.lower()

    @property
    def switch(self) -> bool:
        """Whether the flag stands alone, without a value."""
        return self.type is SWITCH

    def read(self, texts: tuple[str, ...], origin: str, base: Path) -> Any:
        """The typed value, or a tuple of them when the option repeats; raises UsageError.

        Values that may begin with a device's name stay text.
        """
        if self.by_name:
            return texts
        if self.repeats:
            return tuple(self.type.read(text, origin, base) for text in texts)
        return self.type.read(texts[0], origin, base)
