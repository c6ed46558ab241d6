"""Versions known to serve GPT-OSS wrongly, and which of them a device is.

The table is data, ``known_defects.toml``. All here is pure: facts in, findings out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pytest_gptoss.judge.facts import FactBook
from pytest_gptoss.model.message import say
from pytest_gptoss.model.toml_reader import toml

__all__ = ["KnownDefect", "Standing", "Status", "known_defects", "platform_of", "standing_of"]

# Named at run time: the standard library has it from 3.11 on, its forerunner serves 3.10.
Status: TypeAlias = Literal["elsewhere", "unknown", "sound", "unclear", "present"]
"""Of an entry on a device: it is about another platform; the version is not known; version or conditions
rule it out; the version matches and a condition is not known; it matches in full."""

_TABLE = Path(__file__).with_name("known_defects.toml")
_VERSION = re.compile(
    r"v?\d+(?:\.\d+)*(?:(?:a|b|rc)\d+|[-_.]rc\d+)?(?:\.post\d+)?(?:\.dev\d+)?(?:\+[a-z0-9.]+)?", re.I
)
"""The part of a version that PEP 440 reads: an image's tag, 0.18.0rc1-openeuler, has more to it."""
_LOCAL = {"+cu": "cuda", "+rocm": "rocm", "+cpu": "cpu", "+xpu": "other", "+empty": "npu"}
"""What a build was made for; vLLM is built empty where a plugin, as vllm_ascend, brings the device."""
_ON_NPU_ALONE = ("vllm_ascend", "torch_npu", "cann")
_LABELS: Mapping[str, re.Pattern[str]] = {
    "npu": re.compile(r"ascend|atlas|\b910[abc]?\d*\b|昇腾|\bnpu", re.IGNORECASE),
    "cuda": re.compile(
        r"nvidia|cuda|geforce|\brtx|\b(?:[ahb]\d00|h20|gh200|gb[23]00|a10g?|l4|l40s?|[ah]800|v100)\b",
        re.IGNORECASE,
    ),
    "rocm": re.compile(r"\bamd\b.*\bmi|\bmi[23]\d\d|radeon|rocm", re.IGNORECASE),
    "cpu": re.compile(r"\bcpu\b|xeon|epyc|kunpeng", re.IGNORECASE),
}
_BY_ROLE = {"npu": "npu", "gpu": "cuda"}
"""What the user says by the option that names the server, where nothing else tells."""


@dataclass(frozen=True)
class KnownDefect:
    """One entry of the table; the fields are explained at its head."""

    name: str
    component: str
    versions: str
    platform: str
    wrong: str
    rows: tuple[str, ...]
    remedy: str
    source: str
    when: Mapping[str, tuple[str, ...]]
    unless: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Standing:
    """How an entry stands on a device: ``unknown`` names the facts that would decide, by ``status``."""

    defect: KnownDefect
    device: str
    status: Status
    version: str = ""
    source: str = ""
    unknown: tuple[str, ...] = ()


@cache
def known_defects() -> tuple[KnownDefect, ...]:
    """The shipped table, in reading order."""
    document: Mapping[str, Any] = toml.loads(_TABLE.read_text("utf-8"))
    return tuple(
        KnownDefect(
            name=name,
            component=entry["component"],
            versions=entry["versions"],
            platform=entry["platform"],
            wrong=say(entry["wrong"]),
            rows=tuple(entry["rows"]),
            remedy=say(entry["remedy"]),
            source=entry["source"],
            when={fact: tuple(values) for fact, values in entry.get("when", {}).items()},
            unless={fact: tuple(values) for fact, values in entry.get("unless", {}).items()},
        )
        for name, entry in document.items()
    )


def platform_of(book: FactBook, *, role: str, label: str = "") -> str | None:
    """What a device computes on: "npu", "cuda", "rocm", "cpu" or "other"; None where nothing tells.

    In this order: what the server, its log or the user says; a component that runs on NPUs alone; what vLLM
    or torch was built for; what the user calls the device; the option that names it.
    """
    told = book.get("platform")
    if told is not None:
        return told.value.lower()
    if any(book.get(name) is not None for name in _ON_NPU_ALONE):
        return "npu"
    built = [(name, fact.value) for name in ("vllm", "torch") if (fact := book.get(name)) is not None]
    for name, version in built:
        for mark, platform in _LOCAL.items():
            # Beside torch_npu there is a torch for CPUs.
            if mark in version.lower() and (name, platform) != ("torch", "cpu"):
                return platform
    called = [platform for platform, pattern in _LABELS.items() if pattern.search(label)]
    return called[0] if len(called) == 1 else _BY_ROLE.get(role)


def standing_of(defect: KnownDefect, book: FactBook, *, platform: str | None) -> Standing:
    """How an entry stands on the device whose facts are in ``book``."""
    if platform != defect.platform:
        return Standing(defect, book.device, "elsewhere")
    fact = book.get(defect.component)
    lies_in = None if fact is None else _lies_in(fact.value, defect.versions)
    if fact is None or lies_in is None:
        return Standing(defect, book.device, "unknown", unknown=(defect.component,))
    status: Status = "present"
    missing = tuple(name for name in defect.when if book.get(name) is None)
    ruled_out = any(_is_one_of(book, name, values) for name, values in defect.unless.items())
    for name, values in defect.when.items():
        ruled_out = ruled_out or (name not in missing and not _is_one_of(book, name, values))
    if not lies_in or ruled_out:
        status, missing = "sound", ()
    elif missing:
        status = "unclear"
    return Standing(defect, book.device, status, fact.value, fact.source, missing)


def _is_one_of(book: FactBook, name: str, values: Sequence[str]) -> bool:
    fact = book.get(name)
    return fact is not None and fact.value.strip().lower() in map(str.lower, values)


def _lies_in(version: str, versions: str) -> bool | None:
    """Whether PEP 440 puts a version into a range; None for what is no version."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    found = _VERSION.match(version.strip())
    if found is None:
        return None
    try:
        return SpecifierSet(versions).contains(Version(found[0]), prereleases=True)
    except InvalidVersion:
        return None
