"""The run itself: its devices, its measurements, and where its figures come from."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.tables.rows import nothing
from pytest_gptoss.report.tables.table import Cell, Table, figure, heads
from pytest_gptoss.report.wording import Wording

__all__ = ["device_table", "fact_table", "notes", "scenario_table"]

Document = Mapping[str, Json]


def device_table(document: Document, say: Wording) -> Table:
    """The devices of the run, and what kept one from being measured, if anything did."""
    troubled = any(device["problem"] for device in document["devices"])
    rows = [
        (
            Cell(f"{device['name']} ({say.word('role', device['role'])})"),
            Cell(device["label"] or say.figure(None)),
            Cell(device["model"] or say.figure(None)),
            Cell(device["server_version"] or say.figure(None)),
            figure(device["max_model_len"], say),
            Cell(device["url"] or say.figure(None)),
            *((Cell(device["problem"] or ""),) if troubled else ()),
        )
        for device in document["devices"]
    ]
    keys = ("device", "label", "model", "version", "context", "url", "problem")
    return Table(
        "devices",
        say("section.devices"),
        heads(say, *(keys if troubled else keys[:-1])),
        tuple(rows),
        empty=say("nothing.measured"),
    )


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
                    figure(each["items"], say),
                    figure(len(each["failures"]), say),
                    Cell((reasons[0] + more) if reasons else say("why.not reached")),
                )
            )
    return Table(
        "scenarios",
        say("section.scenarios"),
        heads(say, "scenario", "items", "failures", "reason"),
        tuple(rows),
        empty=nothing(document, "scenarios", say),
    )


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
        heads(say, "fact", "fact_value"),
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
