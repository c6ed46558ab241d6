"""The run itself: its devices, its measurements, and where its figures come from."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.tables.rows import nothing
from pytest_gptoss.report.tables.table import Cell, Table, figure, heads
from pytest_gptoss.report.wording import Wording

__all__ = ["device_table", "fact_table", "notes", "scenario_table"]

Document = Mapping[str, Json]

_MOST_DEVICES = 16
"""Devices that the page shows without being asked."""


def device_table(document: Document, translate: Wording) -> Table:
    """The devices of the run, and what kept one from being measured, if anything did."""
    troubled = any(device["problem"] for device in document["devices"])
    rows = [
        (
            Cell(f"{device['name']} ({translate.word('role', device['role'])})"),
            Cell(device["label"] or translate.figure(None)),
            Cell(device["model"] or translate.figure(None)),
            Cell(device["server_version"] or translate.figure(None)),
            figure(device["max_model_len"], translate),
            Cell(device["url"] or translate.figure(None)),
            *((Cell(device["problem"] or ""),) if troubled else ()),
        )
        for device in document["devices"]
    ]
    keys = ("device", "label", "model", "version", "context", "url", "problem")
    return Table(
        "devices",
        translate("section.devices"),
        heads(translate, *(keys if troubled else keys[:-1])),
        tuple(rows),
        empty=translate("nothing.measured"),
        folded=len(rows) > _MOST_DEVICES,
    )


def scenario_table(document: Document, translate: Wording) -> Table:
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
                    figure(each["items"], translate),
                    figure(len(each["failures"]), translate),
                    Cell((reasons[0] + more) if reasons else translate("why.not reached")),
                )
            )
    return Table(
        "scenarios",
        translate("section.scenarios"),
        heads(translate, "scenario", "items", "failures", "reason"),
        tuple(rows),
        empty=nothing(document, "scenarios", translate),
    )


def notes(document: Document) -> list[str]:
    """Remarks beside the verdicts, in the words of whoever made them."""
    measured = document["measurements"]
    return [*measured.get("notes", ()), *(measured.get("load") or {}).get("notes", ())]


def fact_table(document: Document, translate: Wording) -> Table:
    """Where the figures come from: versions, settings, hashes, times."""
    run = document["run"]
    facts: list[tuple[str, object]] = [
        (translate("fact.started"), run["started"]),
        (translate("fact.ended"), run["ended"]),
        (translate("fact.profile"), run["profile"]),
        (translate("fact.prompts_sha256"), run["prompts_sha256"]),
    ]
    facts += [(translate("fact.versions", name=name), version) for name, version in run["versions"].items()]
    for group, names in _SETTINGS.items():
        values = run.get(group) or {}
        facts += [
            (translate(f"fact.{group}", name=translate.word("setting", name)), values[name])
            for name in names or values
            if name in values and name != "prompts_sha256"
        ]
    facts += [(translate("fact.info", name=name), value) for name, value in (run.get("info") or {}).items()]
    if run.get("replay_of"):
        facts.append((translate("fact.replay_of"), run["replay_of"]))
    if run.get("recorded"):
        facts.append((translate("fact.recorded"), ", ".join(run["recorded"])))
    rows = [(Cell(name), Cell(_said(fact, translate))) for name, fact in facts]
    return Table(
        "provenance",
        translate("section.provenance"),
        heads(translate, "fact", "fact_value"),
        tuple(rows),
        empty=translate("nothing.measured"),
    )


_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "settings": (), "needle": (), "load": ("endpoint", "trials", "gpu", "calibrate"),
}  # fmt: skip
"""Parts of the run's settings, and which of each are told; none named: all."""


def _said(fact: object, translate: Wording) -> str:
    if isinstance(fact, bool):
        return translate("yes") if fact else translate("no")
    return translate.figure(None) if fact is None else str(fact)
