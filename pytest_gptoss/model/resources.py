"""Where the files that ship with the package lie: in the wheel beside the code, in a clone in fixtures/."""

from __future__ import annotations

from pathlib import Path

from pytest_gptoss.model.errors import GptossError

__all__ = ["acceptance_tests", "fixture"]

_PACKAGE = Path(__file__).resolve().parents[1]
_ROOTS = (_PACKAGE / "data", _PACKAGE.parent / "fixtures")


def fixture(*parts: str) -> Path:
    """The path of a shipped file or folder, for example ``fixture("tiny-gpt-oss", "config.json")``.

    Raises:
        GptossError: neither place has it: the installation is incomplete.
    """
    for root in _ROOTS:
        path = root.joinpath(*parts)
        if path.exists():
            return path
    wanted, places = "/".join(parts), " nor in ".join(str(root) for root in _ROOTS)
    raise GptossError(f"{wanted} ships with pytest-gptoss but is neither in {places}: install it again")


def acceptance_tests() -> Path:
    """The folder of the acceptance tests: inside the wheel, or tests/acceptance of a clone.

    Raises:
        GptossError: neither place has it: the installation is incomplete.
    """
    places = (_PACKAGE / "acceptance", _PACKAGE.parent / "tests" / "acceptance")
    for place in places:
        if place.is_dir():
            return place
    raise GptossError(
        f"the acceptance tests ship with pytest-gptoss but are neither in {places[0]} nor in {places[1]}: "
        "install it again"
    )
