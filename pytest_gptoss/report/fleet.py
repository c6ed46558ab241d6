"""A fleet in words: what the headline says of it, and what stands below its matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gptoss.judge.figures import percent
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.shown_nodes import MOST_SHOWN, fleet_part, hidden_nodes
from pytest_gptoss.report.wording import Wording

__all__ = ["cell_figure", "fleet_notes", "fleet_words", "hidden_note", "names_of", "sound"]

Document = Mapping[str, Json]
Node = Mapping[str, Json]


def fleet_words(document: Document, translate: Wording) -> str | None:
    """What the headline adds of the fleet to the run's verdict; None where nothing is to be said."""
    fleet = fleet_part(document)
    if fleet is None:
        return None
    if fleet["odd"]:
        return _named("odd", fleet["odd"], len(fleet["nodes"]), translate)
    if document["run"]["verdict"] == "INVALID" and fleet["dead"]:
        return _named("dead", fleet["dead"], len(fleet["nodes"]), translate)
    agree = all(each["state"] == "agrees" for each in fleet["nodes"])
    if agree and all(each["differs_from_gpu"] for each in fleet["nodes"]):
        return translate("fleet.all_differ")
    if document["run"]["verdict"] != "PASSED IN PART" or fleet["compared_with_gpu"]:
        return None
    return translate("fleet.alone.agree") if agree else translate("fleet.alone")


def _named(state: str, names: Sequence[str], nodes: int, translate: Wording) -> str:
    said = {"total": nodes, "nodes": names_of(names, translate)}
    if len(names) == 1:
        return translate("fleet.odd.one" if state == "odd" else "fleet.dead.one", **said)
    return translate("fleet.odd" if state == "odd" else "fleet.dead", count=len(names), **said)


def names_of(names: Sequence[str], translate: Wording) -> str:
    """Names with commas between them; of many the first, and how many more there are."""
    shown = ", ".join(names[:MOST_SHOWN])
    if len(names) <= MOST_SHOWN:
        return shown
    return translate("fleet.more", nodes=shown, more=len(names) - MOST_SHOWN)


def sound(node: Node) -> bool:
    """Whether nothing at all stands against a node."""
    return node["state"] in ("agrees", "not compared") and not node["failed"] and not node["invalid"]


def cell_figure(cell: Mapping[str, Json], translate: Wording) -> str:
    """A cell's value as short as a column has room for; shares in percent."""
    value = cell["value"]
    if value is None:
        return translate.figure(None)
    if cell["unit"] == "share":
        return f"{100 * value:.2g}%" if value < 0.995 else percent(value)
    return f"{value:.3g}" if abs(value) < 1000 else translate.figure(round(value))


def fleet_notes(document: Document, translate: Wording) -> list[str]:
    """What a reader must know of the matrix: what was asked, what it finds, and how often it is wrong."""
    fleet = fleet_part(document)
    if fleet is None:
        return []
    asked = {name: fleet[name] for name in ("canaries", "repeats", "in_flight")}
    notes = [translate("fleet.asked", **asked)]
    found = fleet["wrong_tokens"]
    if found is not None:
        one_in = translate.figure(round(1 / found["rate"]))
        notes.append(translate("fleet.wrong_tokens", one_in=one_in, tokens=found["tokens"]))
    rate = percent(fleet["false_alarms"]["rate"])
    notes.append(translate("fleet.false_alarms", rate=rate, method=fleet["false_alarms"]["method"]))
    return notes


def hidden_note(document: Document, translate: Wording) -> list[str]:
    """How many nodes are not shown in full, where some are not."""
    hidden = len(hidden_nodes(document))
    return [translate("fleet.hidden", shown=MOST_SHOWN, hidden=hidden)] if hidden else []
