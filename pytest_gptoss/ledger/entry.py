"""A run's report document as an entry of the ledger; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_gptoss.ledger.records import (
    DeviceRecord,
    Entry,
    FactRecord,
    FigureRecord,
    LevelRecord,
    RunRecord,
    VerdictRecord,
)
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.finite import strict_json
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import TABLE
from pytest_gptoss.model.printable import printable, shortened

__all__ = ["entry_of", "identity", "run_id", "workload_sha256"]

Document = Mapping[str, Json]

LONGEST = 2_000
"""Characters of a text in the ledger; the whole text is in acceptance.json."""
_MOST = 2**63 - 1
"""The largest whole number that both databases hold."""
_NO_WORKLOAD = frozenset({"timeout_s"})
"""Settings that do not say what was asked."""


def run_id(document: Document) -> str:
    """The run's id: when it began, and eight hex digits of what it was, the same wherever it is read.

    ``acceptance.json`` has no id of its own, and two runs may begin in the same millisecond.
    """
    run = document["run"]
    devices = [[each["name"], each["url"], each["model"]] for each in document["devices"]]
    told = [run["started"], run["profile"], run["prompts_sha256"], run.get("replay_of"), devices]
    began = "".join(char for char in run["started"][:19] if char.isdigit())
    return f"{began}-{_sha256(told)[:8]}"


def entry_of(document: Document) -> Entry:
    """The entry of a run that has ended.

    Raises UsageError for one that has not, and for a row that comes twice.
    """
    run = document["run"]
    if document["state"] == "running":
        raise UsageError(
            f"the run of {run['started']} has not ended, or it was killed: nothing is judged yet; "
            "add it when it has ended, or run again"
        )
    key = run_id(document)
    return Entry(
        _run_record(key, document),
        _once(_device(key, each) for each in document["devices"]),
        tuple(_facts(key, document)),
        _once(_verdict(key, each) for each in document["verdicts"]),
        _once(_level(key, each) for each in _levels(document)),
        _once(figure for each in _levels(document) for figure in _figures(key, each)),
    )


def _run_record(key: str, document: Document) -> RunRecord:
    run = document["run"]
    return RunRecord(
        run_id=key,
        document_sha256=_sha256({name: each for name, each in document.items() if name != TABLE}),
        state=document["state"],
        verdict=run["verdict"],
        profile=_text(run["profile"]),
        started=run["started"],
        ended=run["ended"],
        prompts_sha256=run["prompts_sha256"],
        workload=workload_sha256(run),
        replay_of=_text(run.get("replay_of")),
        changed_limits=len(run["changed_limits"]),
        selected=_whole(run["selected"]) or 0,
    )


def workload_sha256(run: Document) -> str:
    """What was asked of a device: prompts, needles, load; not who was asked, nor against which limits.

    ``run`` is that part of a report document.
    """
    settings = {name: each for name, each in run["settings"].items() if name not in _NO_WORKLOAD}
    return _sha256([run["prompts_sha256"], run["needle"], run.get("load"), settings])


def identity(name: str, label: str | None, server_version: str | None) -> str:
    """What finds a device in other runs: the label that a user gave it, or its name.

    Without a given label a device is called by its server's version, which changes.
    """
    given = label not in (None, "", server_version)
    return str(_text(label if given else name))


def _device(key: str, row: Document) -> DeviceRecord:
    own = identity(row["name"], row["label"], row["server_version"])
    return DeviceRecord(
        key, row["name"], own, row["role"], _text(row["label"]), _text(row["url"]),
        _text(row["model"]), _text(row["server_version"]), _whole(row["max_model_len"]),
        _text(row["problem"]),
    )  # fmt: skip


def _facts(key: str, document: Document) -> Iterator[FactRecord]:
    """Settings and versions; a fact that two sources tell is the later source's."""
    run = document["run"]
    told: dict[tuple[str, str], str] = {}
    for part in ("versions", "settings", "info", "waivers", "changed_limits", "needle", "load"):
        for name, value in (run.get(part) or {}).items():
            told[part, _text(name)] = _text(_json(value))
    for device in document["measurements"].get("preflight") or ():
        for fact in device.get("facts") or ():
            told[f"device.{device['device']}", _text(fact["name"])] = _text(_json(fact["value"]))
    return (FactRecord(key, part, name, value) for (part, name), value in told.items())


def _verdict(key: str, row: Document) -> VerdictRecord:
    return VerdictRecord(
        run_id=key,
        device=row["npu"],
        threshold_id=_text(row["threshold_id"]),
        family=_text(row["family"]),
        tier=row["tier"],
        statistic=_text(row["statistic"]),
        verdict=row["verdict"],
        value=_figure(row["value"]),
        ci_low=_figure(row["ci_low"]),
        ci_high=_figure(row["ci_high"]),
        n=_whole(row["n"]),
        limit_value=float(row["limit"]),
        changed_from=_figure(row["changed_from"]),
        comparison=row["comparison"],
        unit=_text(row["unit"]),
        proven=None if row["proven"] is None else int(row["proven"]),
        headroom=_figure(row["headroom"]),
        reason=_text(row["reason"]),
    )


def _levels(document: Document) -> Iterable[Document]:
    found: Iterable[Document] = (document["measurements"].get("load") or {}).get("levels") or ()
    return found


def _level(key: str, level: Document) -> LevelRecord:
    return LevelRecord(
        run_id=key,
        device=level["device"],
        level=_text(level["level"]),
        trial=_whole(level["trial"]) or 0,
        concurrency=_whole(level["concurrency"]) or 0,
        complete=int(level["complete"]),
        requests=_whole(level.get("num_requests")),
        completed=_whole(level.get("completed")),
        failed=_whole(level.get("failed")),
        prompt_tokens=_whole(level.get("prompt_tokens")),
        max_tokens=_whole(level.get("max_tokens")),
        reason=_text(level["reason"]),
    )


def _figures(key: str, level: Document) -> Iterator[FigureRecord]:
    """Every figure of a level: a distribution's by its name and theirs, one that stands alone by its name."""
    place = (key, level["device"], _text(level["level"]), _whole(level["trial"]) or 0)
    for name, value in level.items():
        if isinstance(value, float):
            yield FigureRecord(*place, name, value)
        elif isinstance(value, Mapping) and "p50" in value:
            yield from (
                FigureRecord(*place, f"{name}.{part}", float(figure))
                for part, figure in value.items()
                if isinstance(figure, int | float)
            )


def _once(records: Iterable[Any]) -> tuple[Any, ...]:
    """The records; raises UsageError where two have the same key."""
    found: dict[tuple[Any, ...], Any] = {}
    for each in records:
        keys = ("device", "threshold_id", "level", "trial", "figure")
        key = tuple(getattr(each, name, None) for name in keys)
        if key in found:
            named = " ".join(str(part) for part in key if part is not None)
            raise UsageError(f"acceptance.json tells {named} twice: no run writes that; run again")
        found[key] = each
    return tuple(found.values())


def _figure(value: Json) -> float | None:
    return None if value is None else float(value)


def _whole(value: Json) -> int | None:
    return None if value is None or abs(value) > _MOST else int(value)


def _text(value: Any) -> Any:
    """A text as every database holds it: no control characters, no half surrogate pairs, not too long."""
    return None if value is None else str(printable(shortened(str(value), LONGEST)))


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _sha256(value: Json) -> str:
    told = json.loads(strict_json(value))  # a run's own document may still hold numbers of other kinds
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
