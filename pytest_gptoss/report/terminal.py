"""The final table: 80 columns, the verdict first, one line a threshold, one line a remedy."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pytest_gptoss.judge.verdicts import number
from pytest_gptoss.records import Json

__all__ = ["Line", "named", "table"]

WIDTH = 80
_COLOURS = {"PASS": "green", "FAIL": "red", "INVALID": "yellow", "WAIVED": "cyan", "SKIPPED": "light"}


@dataclass(frozen=True)
class Line:
    """One line of text and how it is marked up: a colour's name, bold or not."""

    text: str
    colour: str | None = None
    bold: bool = False


def table(document: Mapping[str, Json]) -> Iterator[Line]:
    """The report document as lines for a terminal."""
    run = document["run"]
    word = run["verdict"]
    good = word == "ACCEPTED"
    if run["profile"] == "embedded":
        yield Line(
            f"embedded demonstration, no device was accepted ({word})", "green" if good else "red", True
        )
    else:
        yield Line(word, "green" if good else "red", True)
    for device in document["devices"]:
        yield from _wrapped(_device(device), "")
    for name, change in run["changed_limits"].items():
        yield Line(f"limit changed: {name} from {number(change['from'])} to {number(change['to'])}", "yellow")
    yield Line("")
    npus = list(dict.fromkeys(row["npu"] for row in document["verdicts"]))
    for npu in npus:
        head = "threshold" if len(npus) == 1 else f"threshold ({npu})"
        yield Line(f"{'':8}{head:27}{'value':>10} {'limit':10}{'n':>5} 95% interval", None, True)
        for row in document["verdicts"]:
            if row["npu"] == npu:
                yield Line(_row(row), _COLOURS[row["verdict"]])
    yield from _remedies(document)
    yield from _notes(document["measurements"].get("notes", ()))


def _device(device: Mapping[str, Json]) -> str:
    if device["problem"]:
        return f"{device['name']}: {device['problem']}"
    return f"{device['name']}: {named(device)}, {device['model']}, {device['url'] or 'recorded'}"


def named(device: Mapping[str, Json]) -> str:
    """A device's label, with the server's version unless the label tells it already."""
    version = device["server_version"]
    known = version is None or version in device["label"]
    return str(device["label"]) if known else f"{device['label']}, server {version}"


def _row(row: Mapping[str, Json]) -> str:
    word = f"{row['verdict']}*" if _unproven(row) else row["verdict"]
    value = "-" if row["value"] is None else number(row["value"])
    limit = f"{row['comparison']} {number(row['limit'])}"
    n = "" if row["n"] is None else str(row["n"])
    interval = "" if row["ci"] is None else "..".join(f"{end:.3g}" for end in row["ci"])
    return f"{word:8}{row['threshold_id']:27}{value:>10} {limit:10}{n:>5} {interval}".rstrip()


def _unproven(row: Mapping[str, Json]) -> bool:
    return row["verdict"] == "PASS" and row["proven"] is False


def _remedies(document: Mapping[str, Json]) -> Iterator[Line]:
    rows = document["verdicts"]
    if any(_unproven(row) for row in rows):
        yield Line("* passed, not proven at 95%: the interval reaches past the limit")
    ours = {row["threshold_id"] for row in rows if row["tier"] == "contract" and row["source"] == "ours"}
    for threshold_id in sorted(ours):
        yield from _wrapped(f"{threshold_id}: the limit is ours, the guide leaves it blank", "  ")
    told: set[str] = set()
    for row in rows:
        if row["verdict"] in ("INVALID", "WAIVED", "SKIPPED") and row["reason"] not in told:
            told.add(row["reason"])
            yield from _wrapped(
                f"{row['verdict']} {row['threshold_id']}: {row['reason']}", "  ", _COLOURS[row["verdict"]]
            )


def _notes(notes: list[str]) -> Iterator[Line]:
    if notes:
        yield Line("")
    for note in notes:
        yield from _wrapped(note, "  ")


def _wrapped(text: str, indent: str, colour: str | None = None) -> Iterator[Line]:
    for part in textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False):
        yield Line(part, colour)
