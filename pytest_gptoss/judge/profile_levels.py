"""Load levels and the service level as a profile or a user's file writes them.

A closed level has a ``concurrency``, an open one a ``rate``::

    [[workload.load.levels]]
    rate = 8
    arrivals = "gamma:2"
    duration_s = 60
    max_tokens = 256

    [workload.slo]
    ttft_ms = 500
    share = 0.95
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, get_args

from pytest_gptoss.model.arrivals import Arrivals, Slo, read_law, warm_up_of
from pytest_gptoss.model.inputs import LoadEndpoint, LoadShape
from pytest_gptoss.model.load_names import TRACE, level_name, rate_name, rate_of, read_level

__all__ = ["read_level_line", "read_slo"]

_Rule = tuple[Callable[[Any], bool], str]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _above_0(value: Any) -> bool:
    return _number(value) and 0 < value < 10**9


_COUNT: _Rule = (lambda value: type(value) is int and 0 < value < 10**9, "a whole number from 1 on")
_SECONDS: _Rule = (_above_0, "a number of seconds above 0")
_MILLISECONDS: _Rule = (_above_0, "a number of milliseconds above 0")
_LEVEL_KEYS: Mapping[str, _Rule] = {
    "name": (
        lambda value: isinstance(value, str),
        "a text",
    ),
    "concurrency": _COUNT,
    "rate": (
        lambda value: _number(value) and 1e-6 <= value < 100_000 and round(value, 6) == value,
        "requests a second, from 0.000001 to below 100000 with up to 6 decimals",
    ),
    "arrivals": (
        lambda value: isinstance(value, str) and read_law(value) is not None,
        "poisson, constant or gamma:CV",
    ),
    "requests": _COUNT,
    "duration_s": _SECONDS,
    "ramp_up_s": _SECONDS,
    "prompt_tokens": _COUNT,
    "max_tokens": _COUNT,
    "endpoint": (lambda value: value in get_args(LoadEndpoint), "chat or completions"),
}
_SLO_KEYS: Mapping[str, _Rule] = {
    "ttft_ms": _MILLISECONDS,
    "tpot_ms": _MILLISECONDS,
    "share": (lambda value: _number(value) and 0 < value <= 1, "a share above 0 and up to 1"),
}


def read_level_line(
    line: Any, slo: Slo | None, *, usual: Mapping[str, Any] | None = None
) -> tuple[str, LoadShape]:
    """One level's name and shape; ``usual`` has what it need not say itself. Raises ValueError in words.

    A name that is not given follows from the concurrency or the rate. ``requests`` 0 in an open level's
    shape: as many as come in its duration.
    """
    _check(line, _LEVEL_KEYS, "a level")
    given = {**(usual or {}), **line}
    if "rate" not in line:
        _refuse(line, ("arrivals", "duration_s"), "a level without a rate is a closed loop")
        _need(given, ("concurrency", "requests", "prompt_tokens", "max_tokens"))
        name = line.get("name", level_name(given["concurrency"]))
        plain = {key: value for key, value in given.items() if key != "name"}
        return _named(name, LoadShape(**plain, slo=slo))
    if "requests" not in line and "duration_s" not in line:
        raise ValueError("it has no end: write duration_s or requests")
    _need(given, ("prompt_tokens", "max_tokens"))
    law, cv = read_law(line.get("arrivals", "poisson")) or ("poisson", 1.0)
    rate = float(line["rate"])
    plain = {key: given[key] for key in ("prompt_tokens", "max_tokens", "endpoint") if key in given}
    shape = LoadShape(
        **plain,
        concurrency=line.get("concurrency", warm_up_of(rate)),
        requests=line.get("requests", 0),
        arrivals=Arrivals(rate, law, cv),
        ramp_up_s=float(line.get("ramp_up_s", 0.0)),
        duration_s=line.get("duration_s"),
        slo=slo,
    )
    return _named(line.get("name", rate_name(rate)), shape)


def read_slo(table: Any) -> Slo:
    """The service level; raises ValueError in words."""
    _check(table, _SLO_KEYS, "the service level")
    if "ttft_ms" not in table and "tpot_ms" not in table:
        raise ValueError("it has no limit: write ttft_ms or tpot_ms")
    return Slo(**{key: float(value) for key, value in table.items()})


def _named(name: str, shape: LoadShape) -> tuple[str, LoadShape]:
    """Refuse what is no name, and one that says another rate than the level has."""
    if read_level(name) is None or name.startswith(TRACE):
        raise ValueError(f"{name!r:.60} is no load level's name, as c16, c16-p4096 and r8-burst are")
    rate = None if shape.arrivals is None else shape.arrivals.rate
    if name[0] != ("c" if rate is None else "r") or rate_of(name) not in (rate, math.inf):
        raise ValueError(
            f"name is {name!r}, which says what the level is not: leave it out, or add -WORD to it"
        )
    return name, shape


def _check(table: Any, rules: Mapping[str, _Rule], what: str) -> None:
    if not isinstance(table, dict):
        raise ValueError(f"{what} is a table of {', '.join(rules)}")  # noqa: TRY004 - the file's, not ours
    for key, value in table.items():
        if key not in rules:
            raise ValueError(f"{key!r:.60} is unknown: {what} takes {', '.join(rules)}")
        fits, rule = rules[key]
        if not fits(value):
            raise ValueError(f"{key} is {value!r:.60}: it takes {rule}")


def _need(given: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    missing = next((key for key in keys if key not in given), None)
    if missing is not None:
        raise ValueError(f"{missing} is missing: write it into the level")


def _refuse(line: Mapping[str, Any], keys: tuple[str, ...], why: str) -> None:
    found = next((key for key in keys if key in line), None)
    if found is not None:
        raise ValueError(f"{found}: {why}: add rate")
