"""The report document as tables in a reader's language; Markdown and HTML write the same ones.

Cells hold plain text as it came: whoever writes them into a file escapes them for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_gptoss.judge.thresholds import ADDED
from pytest_gptoss.judge.verdicts import percent
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.formats.precision import CONTRACT_METRICS
from pytest_gptoss.report.wording import Wording

__all__ = [
    "Cell",
    "Table",
    "change_table",
    "changes",
    "device_table",
    "edge_table",
    "fact_table",
    "fork_table",
    "forks",
    "interval",
    "limit",
    "limit_notes",
    "needle_table",
    "needle_task",
    "not_measured_table",
    "notes",
    "nothing",
    "npus",
    "precision_table",
    "scenario_table",
    "size",
    "skipped_table",
    "value",
    "verdict_cell",
    "verdict_table",
    "visible",
    "waiver_table",
]

Row = Mapping[str, Json]
Document = Mapping[str, Json]

OPEN = "OPEN"
"""The status of what was not measured."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, whether it is a figure, and the verdict it tells, if any."""

    text: str
    figure: bool = False
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its name for links and tests, its caption, its column heads and its rows."""

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str = ""
    """What stands in the place of the rows where there are none; a table without it is then left out."""
    minor: bool = False
    """Whether it belongs to the table before it."""
    folded: bool = False
    """Whether the page shows its rows on demand only."""
    long: bool = False
    """Whether a report may show its first rows only, and say how many more there are."""


def npus(document: Document) -> list[str]:
    """Names of the devices under test, in order; those of a run that judged nothing come from its devices."""
    judged = [row["npu"] for row in [*document["verdicts"], *document["not_judged"]]]
    return list(
        dict.fromkeys([*(each["name"] for each in document["devices"] if each["role"] == "npu"), *judged])
    )


def verdict_cell(row: Row | None, say: Wording) -> Cell:
    """A verdict as a mark and a word; None stands for what was not measured."""
    if row is None:
        return Cell(say("status.OPEN"), status=OPEN)
    star = "*" if row["verdict"] == "PASS" and row["proven"] is False else ""
    return Cell(f"{say.word('status', row['verdict'])}{star}", status=row["verdict"])


def precision_table(document: Document, npu: str, say: Wording) -> Table:
    """The guide's precision results: baseline, device, difference and status of the four figures."""
    measured = {row["threshold_id"]: row for row in _of(document["measurements"].get("precision", ()), npu)}
    verdicts = _by_threshold(document, npu)
    rows = []
    for threshold_id in CONTRACT_METRICS:
        figures = measured.get(threshold_id, {"gpu": None, "npu": None, "difference": None})
        verdict = verdicts.get(threshold_id)
        bound = None if verdict is None else verdict["limit"]
        rows.append(
            (
                Cell(say.name(threshold_id)),
                *(_figure(figures[key], say, apart_from=bound) for key in ("gpu", "npu", "difference")),
                verdict_cell(verdict, say),
            )
        )
    return Table(
        "precision", _caption(document, npu, say("section.precision")),
        _head(say, "metric", "gpu_baseline", "npu_result", "difference", "status"), tuple(rows),
        empty=say("nothing.measured"),
    )  # fmt: skip


def needle_table(document: Document, npu: str, say: Wording) -> Table:
    """The guide's long-context results: a row for each cell of the profile, asked or not."""
    cells = {
        (cell["length"], cell["depth"]): cell
        for cell in _of(document["measurements"].get("needles", ()), npu)
        if not cell["control"]
    }
    verdicts = _by_threshold(document, npu)
    known = [
        row["threshold_id"] for row in [*document["verdicts"], *document["not_judged"]] if row["npu"] == npu
    ]
    planned = {at: threshold_id for threshold_id in known if (at := _cell_of(threshold_id)) is not None}
    rows = []
    for (length, depth), threshold_id in sorted(planned.items()):
        cell = cells.get((length, depth))
        rows.append(
            (
                Cell(percent(depth)),
                Cell(size(length)),
                _figure(None if cell is None else cell["first_token_ms"], say),
                Cell(_recall(cell, say)),
                verdict_cell(verdicts.get(threshold_id), say),
            )
        )
    return Table(
        "needle", _caption(document, npu, say("section.needle")),
        _head(say, "depth", "length", "first_token", "recall", "status"), tuple(rows),
        empty=say("nothing.measured"),
    )  # fmt: skip


def _recall(cell: Row | None, say: Wording) -> str:
    if cell is None or not cell["trials"]:
        return say.figure(None)
    hits = f"{cell['hits']}/{cell['trials']}"
    return hits if cell["outcome"] in (None, "hit") else f"{hits} ({say.word('outcome', cell['outcome'])})"


def size(tokens: int) -> str:
    """A length of tokens as the guide writes it: 32K; a length that is no whole K in full."""
    return f"{tokens // 1024}K" if tokens % 1024 == 0 else f"{tokens:,}"


def _cell_of(threshold_id: str) -> tuple[int, float] | None:
    """Length and depth of a recall threshold's cell; None when it is no such threshold."""
    found = re.fullmatch(r"needle\.recall\.d([0-9]{3})-([0-9]+)(k?)", threshold_id)
    if found is None:
        return None
    depth, length, kilo = found.groups()
    return int(length) * (1024 if kilo else 1), int(depth) / 100


def verdict_table(document: Document, npu: str, say: Wording) -> Table:
    """Every verdict on one device: value, limit, how sure."""
    rows = [
        (
            Cell(say.name(row["threshold_id"])),
            Cell(row["threshold_id"]),
            Cell(value(row, say), figure=True),
            Cell(limit(row, say), figure=True),
            Cell(interval(row, say), figure=True),
            _figure(row["n"], say),
            Cell(say.word("tier", row["tier"])),
            verdict_cell(row, say),
        )
        for row in document["verdicts"]
        if row["npu"] == npu
    ]
    return Table(
        "thresholds", _caption(document, npu, say("section.thresholds")),
        _head(say, "figure", "threshold", "value", "limit", "interval", "n", "tier", "status"), tuple(rows),
        empty=say("nothing.measured"),
    )  # fmt: skip


def value(row: Row, say: Wording) -> str:
    """A verdict's figure, in as many digits as tell it from its limit."""
    return say.figure(row["value"], row["unit"], apart_from=row["limit"])


def limit(row: Row, say: Wording) -> str:
    """A limit with its comparison, and what a reader must know about it."""
    notes = [say("source.ours")] if row["source"] == "ours" and row["tier"] == "contract" else []
    if row["changed_from"] is not None:
        notes.append(say("changed", limit=say.limit(row["changed_from"])))
    statistic = say.word("statistic", row["statistic"])
    if row.get("statistic_from") is not None:
        before = say.word("statistic", row["statistic_from"])
        notes.append(say("changed.statistic", statistic=statistic, before=before))
    elif row["source"] == ADDED:
        notes.append(say("added", statistic=statistic, option=ADDED))
    text = f"{row['comparison']} {say.limit(row['limit'], row['unit'])}"
    return f"{text} ({', '.join(notes)})" if notes else text


def interval(row: Row, say: Wording) -> str:
    """A 95% interval in plain figures, its ends told from the limit."""
    if row["ci"] is None:
        return say.figure(None)
    return " - ".join(say.figure(end, apart_from=row["limit"]) for end in row["ci"])


def device_table(document: Document, say: Wording) -> Table:
    """The devices of the run, and what kept one from being measured, if anything did."""
    troubled = any(device["problem"] for device in document["devices"])
    rows = [
        (
            Cell(f"{device['name']} ({say.word('role', device['role'])})"),
            Cell(device["label"] or say.figure(None)),
            Cell(device["model"] or say.figure(None)),
            Cell(device["server_version"] or say.figure(None)),
            _figure(device["max_model_len"], say),
            Cell(device["url"] or say.figure(None)),
            *((Cell(device["problem"] or ""),) if troubled else ()),
        )
        for device in document["devices"]
    ]
    heads = ("device", "label", "model", "version", "context", "url", "problem")
    return Table(
        "devices",
        say("section.devices"),
        _head(say, *(heads if troubled else heads[:-1])),
        tuple(rows),
        empty=say("nothing.measured"),
    )


def change_table(document: Document, say: Wording) -> Table:
    """The limits that the user has changed."""
    rows = [
        (Cell(name), Cell(before, figure=True), Cell(now, figure=True))
        for name, before, now in changes(document, say)
    ]
    return Table(
        "changes",
        say("section.changes"),
        _head(say, "threshold", "changed_from", "changed_to"),
        tuple(rows),
        empty=say("nothing.changes"),
    )


def changes(document: Document, say: Wording) -> list[tuple[str, str, str]]:
    """Threshold id, the profile's limit and this run's, with the statistics where they differ."""
    found = []
    for name, change in document["run"]["changed_limits"].items():
        limits = [say.limit(change["from"]), say.limit(change["to"])]
        if "statistic_to" in change:
            said = [say.word("statistic", change[f"statistic_{end}"]) for end in ("from", "to")]
            limits = [f"{text} ({statistic})" for text, statistic in zip(limits, said, strict=True)]
        found.append((name, *limits))
    return found


def waiver_table(document: Document, say: Wording) -> Table:
    """The thresholds that the user chose not to judge, and why."""
    rows = [(Cell(name), Cell(reason)) for name, reason in document["run"]["waivers"].items()]
    return Table(
        "waivers",
        say("section.waivers"),
        _head(say, "threshold", "reason"),
        tuple(rows),
        empty=say("nothing.waivers"),
    )


def skipped_table(document: Document, say: Wording) -> Table:
    """The rows whose condition is absent, and what is absent."""
    rows = [
        (
            Cell(say.name(row["threshold_id"])),
            Cell(row["threshold_id"]),
            Cell(row["npu"]),
            Cell(row["reason"] or ""),
        )
        for row in document["verdicts"]
        if row["verdict"] == "SKIPPED"
    ]
    return Table(
        "skipped", say("section.skipped"), _head(say, "figure", "threshold", "device", "reason"), tuple(rows)
    )


def nothing(document: Document, key: str, say: Wording) -> str:
    """What stands where a list is empty; of a run that has not ended nothing good is told."""
    return say("nothing.yet" if document["state"] == "running" else f"nothing.{key}")


def not_measured_table(document: Document, say: Wording) -> Table:
    """Thresholds of the profile without a verdict."""
    rows = [
        (
            Cell(say.name(row["threshold_id"])),
            Cell(row["threshold_id"]),
            Cell(row["npu"]),
            Cell(f"{row['comparison']} {say.limit(row['limit'], row['unit'])}", figure=True),
            Cell(say.word("why", row["why"])),
        )
        for row in document["not_judged"]
    ]
    return Table(
        "not_measured", say("section.not_measured"),
        _head(say, "figure", "threshold", "device", "limit", "why"), tuple(rows),
        empty=nothing(document, "not_measured", say), folded=True,
    )  # fmt: skip


def scenario_table(document: Document, say: Wording) -> Table:
    """Measurements that stopped early, or of which an item failed or was left out."""
    rows = []
    for each in document["measurements"].get("scenarios", ()):
        reasons = [f"{failure['item']}: {failure['message']}" for failure in each["failures"]]
        reasons += [f"{item}: {why}" for item, why in each["left_out"].items()]
        if reasons or not each["complete"]:
            more = f" (+{len(reasons) - 1})" if len(reasons) > 1 else ""
            rows.append(
                (
                    Cell(each["id"]),
                    _figure(each["items"], say),
                    _figure(len(each["failures"]), say),
                    Cell((reasons[0] + more) if reasons else say("why.not reached")),
                )
            )
    return Table(
        "scenarios",
        say("section.scenarios"),
        _head(say, "scenario", "items", "failures", "reason"),
        tuple(rows),
        empty=nothing(document, "scenarios", say),
    )


def fork_table(document: Document, npu: str, say: Wording) -> Table:
    """Prompts whose answers differ, the gravest first."""
    rows = [
        (
            Cell(prompt["id"]),
            _figure(prompt["fork"]["index"], say),
            Cell(say.word("kind", prompt["fork"]["kind"])),
            _figure(prompt["fork"]["margin"], say),
            Cell(_first_text(prompt, "npu")),
            Cell(_first_text(prompt, "gpu")),
            _figure(prompt["rouge_l"], say),
        )
        for prompt in forks(document, npu)
    ]
    return Table(
        "forks", _caption(document, npu, say("section.forks")),
        (*_head(say, "prompt", "fork_at", "kind", "margin", "npu_token", "gpu_token"), "ROUGE-L"),
        tuple(rows), minor=True, long=True,
    )  # fmt: skip


def forks(document: Document, npu: str) -> list[Row]:
    """Prompts of a device whose answer forks: real forks before near ties, wide margins first."""
    forked = [prompt for prompt in _of(document["measurements"].get("prompts", ()), npu) if prompt["fork"]]
    gravity = ("real", "unknown", "length", "near tie")
    return sorted(
        forked,
        key=lambda prompt: (gravity.index(prompt["fork"]["kind"]), -(prompt["fork"]["margin"] or 0.0)),
    )


def visible(token: str) -> str:
    """A token's text with its line ends and tabs to be seen, and one of nothing but blanks as such."""
    shown = token.replace("\n", "⏎").replace("\t", "⇥")
    return "␣" * len(shown) if shown.isspace() else shown


def _first_text(prompt: Row, side: str) -> str:
    tokens = prompt["diff"][side]["tokens"] if prompt.get("diff") else []
    if tokens:
        return visible(tokens[0]["text"])
    token = prompt["fork"][f"{side}_token"]
    return "-" if token is None else str(token)


def edge_table(document: Document, say: Wording) -> Table:
    """The devices compared pairwise: whose fault a difference is."""
    rows = [
        (
            Cell(row["edge"].replace("npu", row["device"])),
            _figure(row["perplexity_ratio"], say),
            _figure(row["kl"], say),
            _figure(row["n"], say),
        )
        for row in document["measurements"].get("edges", ())
    ]
    return Table("edges", say("section.edges"), _head(say, "edge", "ratio", "kl", "n"), tuple(rows))


def limit_notes(document: Document, say: Wording) -> list[str]:
    """Which contract limits are ours, the guide leaving them blank."""
    ids = {
        row["threshold_id"]: None
        for row in document["verdicts"]
        if row["tier"] == "contract" and row["source"] == "ours"
    }
    return [say("source.ours.note", name=say.name(threshold_id)) for threshold_id in ids]


def needle_task(document: Document, say: Wording) -> list[str]:
    """What was hidden and asked for, in a line."""
    task = document["run"].get("needle")
    if not task:
        return []
    return [say("task", needle=task["needle"], question=task["question"], expect=task["expect"])]


def notes(document: Document) -> list[str]:
    """Remarks beside the verdicts, in the words of whoever made them."""
    measured = document["measurements"]
    return [*measured.get("notes", ()), *(measured.get("load") or {}).get("notes", ())]


def fact_table(document: Document, say: Wording) -> Table:
    """Where the figures come from: versions, settings, hashes, times."""
    run = document["run"]
    facts: list[tuple[str, object]] = [
        (say("fact.started"), run["started"]),
        (say("fact.ended"), run["ended"]),
        (say("fact.profile"), run["profile"]),
        (say("fact.prompts_sha256"), run["prompts_sha256"]),
    ]
    facts += [(say("fact.versions", name=name), version) for name, version in run["versions"].items()]
    for group, names in _SETTINGS.items():
        values = run.get(group) or {}
        facts += [
            (say(f"fact.{group}", name=say.word("setting", name)), values[name])
            for name in names or values
            if name in values and name != "prompts_sha256"
        ]
    facts += [(say("fact.info", name=name), value) for name, value in (run.get("info") or {}).items()]
    if run.get("replay_of"):
        facts.append((say("fact.replay_of"), run["replay_of"]))
    if run.get("recorded"):
        facts.append((say("fact.recorded"), ", ".join(run["recorded"])))
    rows = [(Cell(name), Cell(_said(fact, say))) for name, fact in facts]
    return Table(
        "provenance",
        say("section.provenance"),
        _head(say, "fact", "fact_value"),
        tuple(rows),
        empty=say("nothing.measured"),
    )


_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "settings": (), "needle": (), "load": ("endpoint", "trials", "gpu", "calibrate"),
}  # fmt: skip
"""Parts of the run's settings, and which of each are told; none named: all."""


def _said(fact: object, say: Wording) -> str:
    if isinstance(fact, bool):
        return say("yes") if fact else say("no")
    return say.figure(None) if fact is None else str(fact)


def _figure(value: float | None, say: Wording, unit: str = "", *, apart_from: float | None = None) -> Cell:
    return Cell(say.figure(value, unit, apart_from=apart_from), figure=True)


def _head(say: Wording, *keys: str) -> tuple[str, ...]:
    return tuple(say(f"head.{key}") for key in keys)


def _caption(document: Document, npu: str, title: str) -> str:
    return title if len(npus(document)) == 1 else f"{title} ({npu})"


def _of(rows: Iterable[Row], device: str) -> list[Row]:
    return [row for row in rows if row["device"] == device]


def _by_threshold(document: Document, npu: str) -> dict[str, Row]:
    return {row["threshold_id"]: row for row in document["verdicts"] if row["npu"] == npu}
