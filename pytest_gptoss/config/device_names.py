"""Names of the devices under test, and which of them a ``[NAME=]VALUE`` belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from pytest_gptoss.config.option_values import CheckedOptions
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.subjects import CORPUS

__all__ = ["Names", "npu_models", "npu_urls", "refuse_bad_name", "values_by_name"]

Names: TypeAlias = Mapping[str, object]
"""The devices under test by name, in the order given."""


def npu_urls(options: CheckedOptions, taken: Iterable[str] = ()) -> dict[str, str | None]:
    """The address of every device under test by its name; raises UsageError for a name that is taken.

    ``taken`` are the names of those that the run starts: they stand behind, and have no address yet.
    """
    urls: dict[str, str | None] = {}
    for value in options.value("npu_url"):
        name, url = _split_name(value, default="npu")
        if name in urls:
            raise UsageError(
                f"{options.origin('npu_url')}: the name {name!r} is given twice; "
                "name each device, as in --npu-url tp1=URL --npu-url tp8=URL"
            )
        refuse_bad_name(name, options.origin("npu_url"))
        urls[name] = options.read("npu_url", url)
    for name in taken:
        if name in urls:
            raise UsageError(
                f"{options.origin('npu_serve')}: the name {name!r} is that of a device with an address; "
                "name it otherwise, as in --npu-serve 'NAME=COMMAND'"
            )
        refuse_bad_name(name, options.origin("npu_serve"))
        urls[name] = None
    return urls


def refuse_bad_name(name: str, origin: str) -> None:
    """Raise UsageError for a name that no device under test may have."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", name):
        raise UsageError(f"device name {name!r}: letters, digits, '_', '-' and '.' only")
    if name in ("gpu", "cpu"):
        raise UsageError(f"{origin}: the name {name!r} belongs to another role")
    if name == CORPUS:
        raise UsageError(f"{origin}: {name!r} names the fixed texts: choose another")


def _split_name(value: str, *, default: str) -> tuple[str, str]:
    head, mark, tail = value.partition("=")
    if mark and head and "/" not in head and ":" not in head:
        return head, tail
    return default, value


def values_by_name(options: CheckedOptions, key: str, names: Names) -> dict[str, Any]:
    """The typed values of a ``[NAME=]VALUE`` option by device; one without a name is the only device's.

    Raises UsageError for a value of no device or of one that has its value already.
    """
    found: dict[str, Any] = {}
    for value in options.value(key):
        head, mark, tail = value.partition("=")
        if mark and head in names:
            name, text = head, tail
        elif len(names) == 1:
            name, text = next(iter(names)), value
        else:
            known = ", ".join(names) or "none"
            raise UsageError(
                f"{options.origin(key)} is {value!r}: say which device it is for, NAME=...; devices: {known}"
            )
        if name in found:
            raise UsageError(f"{options.origin(key)} is given twice for device {name!r}: keep one")
        found[name] = options.read(key, text)
    return found


def npu_models(options: CheckedOptions, names: Names) -> dict[str, str]:
    """The served model of every device under test that is given one; without a name it is every other's."""
    found: dict[str, str] = {}
    of_all: list[str] = []
    for value in options.value("npu_model"):
        head, mark, model = value.partition("=")
        if not mark or head not in names:
            of_all.append(value)
        elif head in found or not model:
            raise UsageError(f"{options.origin('npu_model')} is {value!r}: name one model for {head!r}, once")
        else:
            found[head] = model
    if len(of_all) > 1:
        raise UsageError(
            f"{options.origin('npu_model')} is given as {of_all[0]!r} and {of_all[1]!r}: say which device "
            f"each is for, NAME=MODEL; devices: {', '.join(names) or 'none'}"
        )
    return {**dict.fromkeys(names, of_all[0]), **found} if of_all else found
