"""Load levels as tables: the guide's figures by concurrency, percentiles, and the instrument's own error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from pytest_gptoss.judge.accounting import SEVERAL_TOKENS
from pytest_gptoss.judge.figures import fixed, percent
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.load_names import GUIDE_FIGURES, LOAD_FIGURES
from pytest_gptoss.report.instrument import calibrated, of_workers
from pytest_gptoss.report.tables.open_levels import is_open, open_table
from pytest_gptoss.report.tables.rows import npus
from pytest_gptoss.report.tables.table import Cell, Table
from pytest_gptoss.report.tables.verdict_words import verdict_cell
from pytest_gptoss.report.wording import Wording
from pytest_gptoss.report.worst_verdict import worst_verdict

__all__ = ["LATENCIES", "instrument_table", "levels", "load_tables"]

Document = Mapping[str, Json]
Row = Mapping[str, Json]

LATENCIES: Mapping[str, str] = {each.key: each.title for each in LOAD_FIGURES if each.key and each.title}
_STATISTICS = ("mean", "p50", "p90", "p95", "p99", "max")
_GUIDE = (1, 4, 8, 16)
"""The levels of the guide's table, shown open when a run knows of no others."""


def _median(level: Row | None, key: str) -> float | None:
    """The median of a level's latency, None where it has none."""
    figures = level and level.get(key)
    return figures["p50"] if figures else None


def _rate(level: Row | None, key: str) -> float | None:
    return level.get(key) if level else None


_FIGURES: Mapping[str, Callable[[Row | None], float | None]] = {
    each.name: partial(_median if each.title else _rate, key=str(each.key)) for each in GUIDE_FIGURES
}
"""The guide's figures of a level, by their names in threshold ids."""


def levels(document: Document) -> list[Row]:
    """Every load level of every device that came to figures."""
    load = document["measurements"].get("load") or {}
    return [row for row in load.get("levels", ()) if "completed" in row]


def load_tables(document: Document, translate: Wording) -> list[Table]:
    """The guide's performance results for each device, and the percentiles behind them."""
    measured = levels(document)
    under_test = npus(document)
    others = [name for name in dict.fromkeys(row["device"] for row in measured) if name not in under_test]
    tables = [
        _by_concurrency(document, name, translate, judged=name in under_test)
        for name in [*under_test, *others]
    ]
    return [
        *tables,
        *_open_tables(document, measured, translate),
        *(
            table
            for table in (_percentiles(measured, translate), _circumstances(document, translate))
            if table.rows
        ),
    ]


def _open_tables(document: Document, measured: list[Row], translate: Wording) -> Iterator[Table]:
    """The open levels of each device that has some."""
    under_test = npus(document)
    for device in dict.fromkeys(row["device"] for row in measured if is_open(row)):
        rows = [row for row in measured if is_open(row) and row["device"] == device]
        verdicts = [row for row in document["verdicts"] if row["npu"] == device]
        title = translate("section.open")
        alone = len(under_test) == 1 and device in under_test
        yield open_table(
            rows, verdicts, title if alone else f"{title} ({device})", translate, judged=device in under_test
        )


def _by_concurrency(document: Document, device: str, translate: Wording, *, judged: bool) -> Table:
    measured = {
        (row["concurrency"], row["trial"]): row
        for row in levels(document)
        if row["device"] == device and not is_open(row)
    }
    planned = {(concurrency, 0) for concurrency in _planned(document, device)}
    rows = []
    for concurrency, trial in sorted({*measured, *planned}) or [(concurrency, 0) for concurrency in _GUIDE]:
        level = measured.get((concurrency, trial))
        verdicts = _verdicts(document, device, concurrency) if judged else []
        limits = {row["threshold_id"].split(".")[1]: row["limit"] for row in verdicts}
        rows.append(
            (
                Cell(f"{concurrency} #{trial + 1}" if trial else str(concurrency), figure=True),
                *(
                    Cell(translate.figure(figure(level), apart_from=limits.get(name)), figure=True)
                    for name, figure in _FIGURES.items()
                ),
                _status(verdicts, translate) if judged else Cell(translate("status.SHOWN"), status="SHOWN"),
            )
        )
    heads = ("concurrency", *_FIGURES, "status")
    title = translate("section.performance")
    alone = judged and len(npus(document)) == 1
    return Table(
        "performance",
        title if alone else f"{title} ({device})",
        tuple(translate(f"head.{head}") for head in heads),
        tuple(rows),
    )


def _status(verdicts: list[Row], translate: Wording) -> Cell:
    """The level's verdict; where none of the guide's figures was judged, a pass says what passed."""
    cell = verdict_cell(worst_verdict(verdicts), translate)
    figures = {row["threshold_id"].split(".")[1] for row in verdicts if row["verdict"] != "SKIPPED"}
    if cell.status != "PASS" or not figures <= {"completed", "uncached"}:
        return cell
    return Cell(translate("status.whole", status=cell.text), status=cell.status)


def _planned(document: Document, device: str) -> set[int]:
    """Concurrencies that the profile's thresholds name for a device."""
    known = [row for row in [*document["verdicts"], *document["not_judged"]] if row["npu"] == device]
    return {at for row in known if (at := _concurrency(row["threshold_id"])) is not None}


def _concurrency(threshold_id: str) -> int | None:
    found = re.fullmatch(r"performance\..+\.c([0-9]+)", threshold_id)
    return None if found is None else int(found.group(1))


def _verdicts(document: Document, npu: str, concurrency: int) -> list[Row]:
    return [
        row
        for row in document["verdicts"]
        if row["npu"] == npu and _concurrency(row["threshold_id"]) == concurrency
    ]


def _percentiles(measured: list[Row], translate: Wording) -> Table:
    rows = [
        (
            Cell(level["device"]),
            Cell(level["level"] if is_open(level) else str(level["concurrency"]), figure=True),
            Cell(_quantity(level, key, translate)),
            *(Cell(translate.figure(level[key][statistic]), figure=True) for statistic in _STATISTICS),
        )
        for level in measured
        for key in LATENCIES
        if level.get(key)
    ]
    head = (
        translate("head.device"), translate("head.concurrency"), translate("head.quantity"),
        translate("head.mean"), *_STATISTICS[1:],
    )  # fmt: skip
    return Table("percentiles", translate("section.distributions"), head, tuple(rows), folded=True)


def _quantity(level: Row, key: str, translate: Wording) -> str:
    """A latency's name; ITL is said to be per event where events carry several tokens."""
    per_event = level.get("tokens_per_event")
    if key == "itl_ms" and per_event is not None and per_event >= SEVERAL_TOKENS:
        return translate("latency.itl_per_event", tokens=fixed(per_event, 1))
    return translate.word("latency", LATENCIES[key])


def _circumstances(document: Document, translate: Wording) -> Table:
    """What each level was: its requests and lengths, the way to the server, and how the client kept up."""
    rows = []
    for level in (document["measurements"].get("load") or {}).get("levels", ()):
        known = "completed" in level
        client = level.get("client") or {}
        share = client.get("cpu_share")
        rows.append(
            (
                Cell(f"{level['device']} {level['level']}"),
                Cell(
                    f"{level['completed']}/{level['num_requests']}" if known else translate.figure(None),
                    figure=True,
                ),
                _plain(level, "prompt_tokens", translate),
                _plain(level, "max_tokens", translate),
                _plain(level, "rtt_ms", translate),
                Cell(translate.figure(None) if share is None else percent(share), figure=True),
                Cell(level["reason"] or ""),
            )
        )
    heads = ("level", "completed", "prompt_tokens", "output_tokens", "rtt", "client_cpu", "reason")
    return Table(
        "levels", translate("section.levels"), tuple(translate(f"head.{head}") for head in heads), tuple(rows)
    )


def instrument_table(document: Document, translate: Wording) -> Table:
    """How far the measuring client itself is off, by level, and each worker of a cluster on its node."""
    errors = {error["concurrency"]: error for error in calibrated(document)}
    columns = ("ttft_bias_ms", "ttft_p99_ms", "tpot_bias_ms", "tpot_p99_ms", "load_held")
    told = [(str(concurrency), error) for concurrency, error in sorted(errors.items())]
    told += [(f"{each['level']}, {each['worker']}", each) for each in of_workers(document)]
    rows = [
        (
            Cell(name, figure=True),
            *(Cell(translate.figure(error.get(column)), figure=True) for column in columns),
        )
        for name, error in told
    ]
    heads = ("concurrency", "bias_ttft", "p99_ttft", "bias_tpot", "p99_tpot", "held")
    return Table(
        "instrument",
        translate("section.instrument"),
        tuple(translate(f"head.{head}") for head in heads),
        tuple(rows),
        empty=translate("nothing.measured"),
    )


def _plain(level: Row | None, key: str, translate: Wording) -> Cell:
    return Cell(translate.figure(level.get(key) if level else None), figure=True)
