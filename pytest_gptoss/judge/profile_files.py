"""Profiles as files: our own and those of other installed packages.

A profile may begin with ``extends = "NAME"``: it has the workload and the rows of that profile, and its own
rows beside them or in their place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_gptoss.judge.installed import installed_profile, installed_profile_names
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.toml_reader import toml

__all__ = ["profile_document", "profile_names", "shipped_profiles"]

# Named at run time: the standard library has it from 3.11 on, its forerunner serves 3.10.
_SHIPPED = Path(__file__).parents[1] / "config" / "profiles"


def shipped_profiles() -> tuple[str, ...]:
    """Names of our own profiles, sorted."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.toml")))


def profile_names() -> tuple[str, ...]:
    """Names of all profiles, sorted: our own and those of other installed packages."""
    return tuple(sorted({*shipped_profiles(), *installed_profile_names()}))


def profile_document(name: str, *, extended_by: tuple[str, ...] = ()) -> dict[str, Any]:
    """The tables ``workload`` and ``thresholds`` of a profile, with those of the profile that it extends.

    Raises UsageError for a name that is none, and for a package's file that is no profile.
    """
    if name not in profile_names() or name in extended_by:
        said = f"--gptoss-profile is {[*extended_by, name][0]!r}"
        said += f", which extends {name!r}" if extended_by else ""
        raise UsageError(f"{said}: there is no such profile; there are: {', '.join(profile_names())}")
    if name in shipped_profiles():
        document: dict[str, Any] = toml.loads((_SHIPPED / f"{name}.toml").read_text("utf-8"))
        return document
    text, whose = installed_profile(name)
    try:
        document = toml.loads(text)
    except ValueError as error:
        raise UsageError(f"{whose}: not a TOML file ({error}): correct or uninstall the package") from error
    if "extends" not in document:
        return document
    base = profile_document(document.pop("extends"), extended_by=(*extended_by, name))
    rows = {**base["thresholds"], **document.get("thresholds", {})}
    return {**base, **document, "thresholds": rows}
