"""Facts that the user states because no server tells them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_gptoss.config.option_values import CheckedOptions
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.subjects import CHUNK_FACT

__all__ = ["Info", "info_from"]

VERSION_FACTS = ("vllm", "vllm_ascend", "cann", "torch", "torch_npu")
"""Facts about a device that are versions, and are compared with the least ones allowed."""
WORD_FACTS: Mapping[str, tuple[str, ...]] = {
    "cudagraph_mode": ("NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE"),
    "platform": ("npu", "cuda", "rocm", "cpu", "other"),
}
"""Facts that take one of a few words: another one would be looked up in vain and acquit the server."""


COUNT_FACTS = (CHUNK_FACT,)
"""Facts that are whole numbers from 1 on."""


@dataclass(frozen=True)
class Info:
    """Facts that the user states: ``of_devices`` by device and fact, ``of_run`` by fact."""

    of_devices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    of_run: Mapping[str, str] = field(default_factory=dict)


def info_from(options: CheckedOptions) -> Info:
    """Facts by device and of the run; raises UsageError for a fact stated twice or in no known form.

    Whether the devices exist is known later: a replay has them from the stored run.
    """
    origin = options.origin("info")
    of_devices: dict[str, dict[str, str]] = {}
    of_run: dict[str, str] = {}
    for key, value in options.value("info"):
        device, dot, fact = key.rpartition(".")
        facts = of_devices.setdefault(device, {}) if dot else of_run
        if fact in facts:
            raise UsageError(f"{origin}: {key} is stated twice, {facts[fact]!r} and {value!r}: keep one")
        if dot:
            _refuse_unknown_form(origin, key, fact, value)
        facts[fact] = value
    return Info(of_devices, of_run)


def _refuse_unknown_form(origin: str, key: str, fact: str, value: str) -> None:
    """Raise UsageError for a device's fact that later checks could not read."""
    if fact in VERSION_FACTS and not re.match(r"v?\d+(\.\d+)+", value):
        raise UsageError(f"{origin}: {key} is {value!r}: it takes a version, as {key}=8.5.1")
    if fact in COUNT_FACTS and not re.fullmatch(r"0*[1-9][0-9]{0,8}", value):
        raise UsageError(f"{origin}: {key} is {value!r}: it takes a whole number, as {key}=2048")
    words = WORD_FACTS.get(fact, ())
    if words and value.lower() not in map(str.lower, words):
        raise UsageError(f"{origin}: {key} is {value!r}: it takes one of {', '.join(words)}")
