"""The matrix as Markdown, and what it comes to: caught, caught where expected, false alarms. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from detection.row import Group, Outcome, Row, column

__all__ = ["counts", "markdown", "one_coloured"]

WORST_FIRST = ("FAIL", "INVALID", "PASS", "WAIVED", "SKIPPED")
GROUPS: Mapping[Group, str] = {
    "numerics": "Numerics: the reference server with a fault",
    "timing": "Timing: the reference server with a fault",
    "real vLLM": "Numerics: damaged checkpoints served by real vLLM",
    "wire": "The wire: a proxy in front of a sound server",
    "bench": "The bench",
    "controls": "Controls: nothing is wrong",
}


def counts(rows: Sequence[Row], outcomes: Mapping[str, Outcome]) -> dict[str, int]:
    """Count what was run: defects above the sensitivity, those caught, sound runs, false alarms."""
    run = [(row, outcomes[row.id]) for row in rows if row.id in outcomes]
    tried = [(row, outcome) for row, outcome in run if row.named and row.unseen is None]
    sound = [outcome for row, outcome in run if row.sound]
    return {
        "tried": len(tried),
        "caught": sum(outcome.alarmed for _, outcome in tried),
        "at the named check": sum(bool(outcome.red & set(row.named)) for row, outcome in tried),
        "sound runs": len(sound),
        "false alarms": sum(outcome.alarmed for outcome in sound),
        "not run": len(rows) - len(run),
    }


def markdown(rows: Sequence[Row], outcomes: Mapping[str, Outcome], *, told: Sequence[str]) -> str:
    """The whole document; ``told`` are lines about how it was made."""
    body = [*_tables(rows, outcomes), *_degrees(rows, outcomes), *_missing(rows, outcomes)]
    return "\n".join([*_head(rows, outcomes, told), *body])


def one_coloured(columns: Sequence[str], outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """The columns that no run showed red, or none showed green, each with the colour it lacks."""
    words: dict[str, set[str]] = {name: set() for name in columns}
    for outcome in outcomes:
        for name, word in outcome.verdicts.items():
            words.get(column(name), set()).add(word)
    wanted = {"red": "FAIL", "green": "PASS"}
    return [(name, colour) for name in columns for colour, word in wanted.items() if word not in words[name]]


def _head(rows: Sequence[Row], outcomes: Mapping[str, Outcome], told: Sequence[str]) -> Iterator[str]:
    count = counts(rows, outcomes)
    yield from (
        "# What the suite detects",
        "",
        "Made by `python benchmarks/detection.py` from measured runs.",
    )
    yield from told
    yield from ("", "| | |", "|---|---|")
    yield f"| defects caught / tried, above the stated sensitivity | {count['caught']} / {count['tried']} |"
    yield f"| caught at the named check / tried | {count['at the named check']} / {count['tried']} |"
    yield f"| false alarms / sound runs | {count['false alarms']} / {count['sound runs']} |"
    if count["sound runs"] and not count["false alarms"]:
        bound = 1 - 0.05 ** (1 / count["sound runs"])
        yield f"| false alarm rate, at most (one-sided 95%) | {100 * bound:.1f}% |"
    if count["not run"]:
        yield f"| rows not run | {count['not run']} |"
    yield from (
        "",
        "A cell is the worst verdict among a column's needle cells or load levels; `-` was not judged.",
    )
    yield "The named check is in **bold** where it caught the defect, `missed` where it did not."


def _tables(rows: Sequence[Row], outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    for group, title in GROUPS.items():
        run = [row for row in rows if row.group == group and row.id in outcomes]
        if not run:
            continue
        columns = _columns([outcomes[row.id] for row in run])
        yield from ("", f"## {title}", "")
        yield f"| row | what | named check | {' | '.join(columns)} |"
        yield "|---" * (3 + len(columns)) + "|"
        for row in run:
            yield _line(row, outcomes[row.id], columns)
        for row in run:
            if row.unseen is not None:
                yield from ("", f"`{row.id}` is not counted: {row.unseen}.")


def _degrees(rows: Sequence[Row], outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    run = [row for row in rows if row.graded and row.id in outcomes]
    told = dict.fromkeys(name for row in run for name in outcomes[row.id].figures)
    columns = [name for name in told if name.startswith("precision.")]
    if not columns:
        return
    yield from ("", "## Sensitivity: damage by degrees", "")
    yield "Figures in the unit of each threshold, **bold** beyond the limit. The smallest damage with one"
    yield "in bold is what the suite sees."
    yield from ("", f"| row | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|")
    for row in run:
        outcome = outcomes[row.id]
        yield f"| {row.id} | {' | '.join(_figure(outcome, name) for name in columns)} |"


def _figure(outcome: Outcome, name: str) -> str:
    value = outcome.figures.get(name)
    if value is None:
        return "-"
    return f"**{value:.4g}**" if name in outcome.red else f"{value:.4g}"


def _columns(outcomes: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(column(name) for outcome in outcomes for name in outcome.verdicts))


def _line(row: Row, outcome: Outcome, columns: Sequence[str]) -> str:
    by_column: dict[str, list[str]] = {}
    for name, word in outcome.verdicts.items():
        by_column.setdefault(column(name), []).append(word)
    cells = [_cell(row, name, by_column.get(name, ())) for name in columns]
    return f"| {row.id} | {row.what} | {_named(row, outcome)} | {' | '.join(cells)} |"


def _cell(row: Row, name: str, words: Sequence[str]) -> str:
    worst = min(words, key=WORST_FIRST.index, default="SKIPPED")
    if worst == "SKIPPED":
        return "-"
    return f"**{worst}**" if name in row.named and worst in ("FAIL", "INVALID") else worst


def _named(row: Row, outcome: Outcome) -> str:
    if row.sound:
        return "false alarm" if outcome.alarmed else "none"
    said = ", ".join(row.named)
    return said if outcome.red & set(row.named) or row.unseen else f"{said} (missed)"


def _missing(rows: Sequence[Row], outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    missing = [row.id for row in rows if row.id not in outcomes]
    if missing:
        yield from ("", "## Not run", "", ", ".join(missing))
    yield ""
