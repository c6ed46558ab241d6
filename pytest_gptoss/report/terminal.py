"""The final tables: 80 columns, the verdict first, a line a threshold, a remedy, a load level."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_gptoss.judge.beside import beside_words
from pytest_gptoss.judge.figures import exact, fixed, number
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.load_names import GUIDE_FIGURES
from pytest_gptoss.model.printable import printable, shortened
from pytest_gptoss.report.equivalence import equivalence_line
from pytest_gptoss.report.fleet_terminal import fleet_lines, told_devices, told_part
from pytest_gptoss.report.headline import blocked_by, partial, tone, verdict_words
from pytest_gptoss.report.instrument import uncalibrated
from pytest_gptoss.report.shown_nodes import fleet_part
from pytest_gptoss.report.tables.changed import changes
from pytest_gptoss.report.wording import Wording

__all__ = ["Line", "columns", "named", "show_table", "table"]

WIDTH = 80
LONGEST = 800
"""Characters of one remark; the whole text is in the reports."""

_COLOURS = {"PASS": "green", "FAIL": "red", "INVALID": "yellow", "WAIVED": "cyan", "SKIPPED": "light"}
_TONES = {"PASS": "green", "FAIL": "red", "SHOWN": "cyan", "INVALID": "yellow", "OPEN": "yellow"}
_BITS = re.compile(r"\s+|[\u1100-\uffdc\U00020000-\U0003ffff]|[^\s\u1100-\uffdc\U00020000-\U0003ffff]+")
"""Where a line may be turned: at spaces, and at every wide character."""


@dataclass(frozen=True)
class Line:
    """One line of text and how it is marked up: a colour's name, bold or not."""

    text: str
    colour: str | None = None
    bold: bool = False


def show_table(terminal: Any, document: Mapping[str, Json]) -> None:
    """Write the table on pytest's terminal reporter, which knows whether colours are wanted."""
    terminal.section("GPT-OSS acceptance")
    for each in table(document):
        markup = {name: True for name in (each.colour, "bold" if each.bold else None) if name}
        terminal.line(each.text, **markup)


def table(document: Mapping[str, Json]) -> Iterator[Line]:
    """The report document as lines for a terminal."""
    translate = Wording("en")
    yield from _wrapped(verdict_words(document, translate), "", _TONES[tone(document)], bold=True)
    evidence = equivalence_line(document, translate)
    if evidence is not None:
        yield from _wrapped(evidence, "  ")
    part = partial(document, translate)
    if part is not None:
        yield from _wrapped(part, "  ", "yellow")
    for text in fleet_lines(document, translate):
        yield from _wrapped(text, "  ")
    for device in told_devices(document):
        yield from _wrapped(_device(device), "  ", "yellow" if device["problem"] else None)
    document = told_part(document)
    for name, before, now in changes(document, translate):
        yield from _wrapped(f"limit changed: {name} from {before} to {now}", "  ", "yellow")
    yield Line("")
    yield from _rows(document)
    yield from _remedies(document["verdicts"], translate)
    load = document["measurements"].get("load")
    if load and load["levels"]:
        limits = {(row["npu"], row["threshold_id"]): row["limit"] for row in document["verdicts"]}
        yield from _load(load, limits, "; ".join(uncalibrated(document)))
    yield from _matrix(document["measurements"].get("configurations"))
    yield from _diagnosis(document["measurements"].get("diagnosis", ()))
    yield from _notes([*document["measurements"].get("notes", ()), *(load["notes"] if load else ())])


def _rows(document: Mapping[str, Json]) -> Iterator[Line]:
    """The verdicts, device by device."""
    npus = list(dict.fromkeys(row["npu"] for row in document["verdicts"]))
    alone = len(npus) == 1 and fleet_part(document) is None
    for npu in npus:
        head = "threshold" if alone else f"threshold ({npu})"
        yield Line(_fit(f"{'':8}{head:27}{'value':>10} {'limit':10}{'n':>5} 95% interval"), None, True)
        for row in document["verdicts"]:
            if row["npu"] == npu:
                yield from _wrapped(_row(row), " " * 8, _COLOURS[row["verdict"]])


def _load(load: Mapping[str, Json], limits: Mapping[tuple[str, str], float], problem: str) -> Iterator[Line]:
    """The load levels, with the instrument's own bias beside what it measured."""
    yield Line("")
    yield Line(
        f"{'load':6}{'device':8}{'done':>8}{'TTFT p50':>10}{'p99':>7}{'rtt':>6}{'TPOT p50':>9}{'p99':>6}"
        f"{'tok/s':>7}{'QPS':>6}{'error':>6}",
        None,
        True,
    )
    for level in load["levels"]:
        yield from _wrapped(_level(level, limits), " " * 14)
    yield from _wrapped(
        "times in ms; rtt: round trip to the server; error: "
        + (f"unknown, {problem}" if problem else "the instrument's own bias in TTFT on this machine"),
        "  ",
    )


def _level(level: Mapping[str, Json], limits: Mapping[tuple[str, str], float]) -> str:
    name = f"{level['level']}#{level['trial'] + 1}" if level["trial"] else level["level"]
    head = f"{name:5} {level['device'][:7]:8}"
    if "completed" not in level:
        return f"{head}{level['reason']}"
    ttft, tpot, error = level["ttft_ms"] or {}, level["tpot_ms"] or {}, level["instrument"] or {}
    done = f"{level['completed']}/{level['num_requests']}"
    bounds = {
        each.name: limits.get((level["device"], f"performance.{each.name}.{level['level']}"))
        for each in GUIDE_FIGURES
    }
    return (
        f"{head}{done:>8} {_short(ttft.get('p50'), bounds['ttft']):>9} {_short(ttft.get('p99')):>6}"
        f" {_short(level['rtt_ms']):>5} {_short(tpot.get('p50'), bounds['tpot']):>8}"
        f" {_short(tpot.get('p99')):>5} {_short(level['throughput_tok_s'], bounds['throughput']):>6}"
        f" {_short(level['qps'], bounds['qps']):>5} {_short(error.get('ttft_bias_ms')):>5}"
    )


def _short(value: float | None, limit: float | None = None) -> str:
    """A figure in three significant digits, or whole where it has more before the point.

    More of them where those would read as the limit, which it is not.
    """
    if value is None:
        return "-"
    text = _rounded(value)
    reads_as_it = limit is not None and value != limit and text == _rounded(limit)
    return number(value, apart_from=limit) if reads_as_it else text


def _rounded(value: float) -> str:
    return fixed(value, 0) if abs(value) >= 100 else f"{value:.3g}"


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
    value = "-" if row["value"] is None else number(row["value"], apart_from=row["limit"])
    limit = f"{row['comparison']} {exact(row['limit'])}"
    n = "" if row["n"] is None else str(row["n"])
    interval = "..".join(_short(end, row["limit"]) for end in row["ci"] or ())
    if row.get("statistic_from") is not None:
        interval = f"{interval} ({row['statistic']})".strip()
    beside = row["details"].get("beside")
    other = f"; {beside_words(beside)}" if beside else ""
    return f"{word:8}{row['threshold_id']:27}{value:>10} {limit:10}{n:>5} {interval}".rstrip() + other


def _unproven(row: Mapping[str, Json]) -> bool:
    return row["verdict"] == "PASS" and row["proven"] is False


def _remedies(rows: Sequence[Mapping[str, Json]], translate: Wording) -> Iterator[Line]:
    if any(_unproven(row) for row in rows):
        yield Line("* passed, not proven at 95%: the interval reaches past the limit")
    ours = {row["threshold_id"] for row in rows if row["tier"] == "contract" and row["source"] == "ours"}
    for threshold_id in sorted(ours):
        yield from _wrapped(f"{threshold_id}: the limit is ours, the guide leaves it blank", "  ")
    told: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["verdict"] in ("INVALID", "WAIVED", "SKIPPED"):
            blocker = blocked_by(row, rows, ("INVALID",))
            reason = row["reason"] or "" if blocker is None else translate("blocked", row=blocker)
            told.setdefault((row["verdict"], reason), []).append(row["threshold_id"])
    for (verdict, reason), ids in told.items():
        # Rows that one cause has spoilt are told together, each by its name.
        names = ", ".join(dict.fromkeys(ids))
        yield from _wrapped(f"{verdict} {names}: {reason}", "  ", _COLOURS[verdict])


def _matrix(matrix: Mapping[str, Json] | None) -> Iterator[Line]:
    """Every configuration against the GPU and against the first, a figure a column."""
    if matrix is None:
        return
    first = matrix["first"]
    names = list(matrix["configurations"][0]["against_gpu"])
    yield Line("")
    head = "".join(f"{name.replace('_', ' ')[:14]:>15}" for name in names[1:])
    yield Line(f"{'configuration':18}{head}", None, True)
    for row in matrix["configurations"]:
        for other, cells in (("gpu", row["against_gpu"]), (first, row["against_first"])):
            if any(cells.values()):
                shown = "".join(f"{_cell(cells[name]):>15}" for name in names[1:])
                colour = "red" if other in row["departs_from"] else None
                yield Line(f"{row['device'][:8]:8}- {other[:7]:8}{shown}", colour)
    if matrix["finding"]:
        yield from _wrapped(matrix["finding"], "  ")


def _cell(cell: Mapping[str, Json] | None) -> str:
    if cell is None:
        return "-"
    if cell["value"] is None:
        return str(cell["verdict"])
    return f"{number(cell['value'], apart_from=cell['limit'])} {cell['verdict']}"


def _diagnosis(findings: Sequence[Mapping[str, Json]]) -> Iterator[Line]:
    if findings:
        yield Line("")
        yield Line("diagnosis", None, True)
    for each in findings:
        rows = ", ".join(each["explains"])
        if each["kind"] in ("log", "answer"):
            times = f" ({each['times']} times)" if each["times"] > 1 else ""
            place = f", {each['file']}:{each['line']}" if each["kind"] == "log" else " answered"
            yield from _wrapped(f"{each['device']}{place}{times}: {each['text']}", "  ")
        else:
            yield from _wrapped(f"{each['device']}: {each['name'].replace('-', ' ')} ({rows})", "  ")
        yield from _wrapped(f"  {each['remedy']}", "  ")
        if each["kind"] != "symptom" and rows:
            yield from _wrapped(f"  may explain {rows}", "  ")


def _notes(notes: Sequence[str]) -> Iterator[Line]:
    if notes:
        yield Line("")
    for note in notes:
        yield from _wrapped(note, "  ")


def _wrapped(text: str, indent: str, colour: str | None = None, *, bold: bool = False) -> Iterator[Line]:
    """A text as lines of at most WIDTH columns; nothing in it can move the cursor."""
    current = ""
    for bit in _bits(printable(shortened(text, LONGEST))):
        if columns(current + bit) > WIDTH and current.strip():
            yield Line(current.rstrip(), colour, bold)
            current = indent + bit.lstrip()
        else:
            current += bit
    if current.strip():
        yield Line(current.rstrip(), colour, bold)


def _bits(text: str) -> Iterator[str]:
    """Pieces that stay on one line; a word longer than a line is cut."""
    room = WIDTH - 4
    for bit in _BITS.findall(text):
        for at in range(0, len(bit), room):
            yield bit[at : at + room]


def _fit(text: str) -> str:
    """A table's row, cut at the last column."""
    text = printable(text)
    while columns(text) > WIDTH:
        text = text[:-1]
    return text


def columns(text: str) -> int:
    """Columns a text takes in a terminal: wide characters take two, marks upon others none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
