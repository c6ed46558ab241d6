"""The matrix as Markdown, and what it comes to: caught, caught as expected, false alarms. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from detection.recordings import RECORDINGS
from detection.row import BASELINE, FAIL, Group, Outcome, Row, column

__all__ = ["counts", "markdown", "one_coloured"]

WORST_FIRST = ("FAIL", "INVALID", "PASS", "WAIVED", "SKIPPED")
GROUPS: Mapping[Group, str] = {
    "numerics": "Numerics: the reference server with a fault",
    "timing": "Timing: the reference server with a fault",
    "stress": "Under stress: the reference server with a fault of serving",
    "real vLLM": "Numerics: damaged checkpoints served by real vLLM",
    "wire": "The wire: a proxy in front of a sound server",
    "bench": "The bench",
    "controls": "Controls: nothing is wrong",
    "repetitions": "Repetitions: the sound pair once more",
}


def counts(rows: Sequence[Row], outcomes: Mapping[str, Outcome]) -> dict[str, int]:
    """Count what was run: defects above the sensitivity, those caught, repetitions and other sound runs."""
    run = [(row, outcomes[row.id]) for row in rows if row.id in outcomes]
    tried = [(row, outcome) for row, outcome in run if row.expect and row.unseen is None]
    again = [outcome for row, outcome in run if row.group == "repetitions"]
    other = [outcome for row, outcome in run if row.sound and row.group != "repetitions"]
    return {
        "tried": len(tried),
        "caught": sum(outcome.alarmed for _, outcome in tried),
        "at the named checks": sum(not row.missed(outcome) for row, outcome in tried),
        "repetitions": len(again),
        "alarms in repetitions": sum(outcome.alarmed for outcome in again),
        "other sound runs": len(other),
        "alarms in other sound runs": sum(outcome.alarmed for outcome in other),
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
    yield f"| caught at every named check / tried | {count['at the named checks']} / {count['tried']} |"
    alarms, again = count["alarms in repetitions"], count["repetitions"]
    yield f"| false alarms / repetitions of the sound pair | {alarms} / {again} |"
    if again and not alarms:
        bound = 1 - 0.05 ** (1 / again)
        yield f"| false alarm rate among repetitions, at most (one-sided 95%) | {100 * bound:.1f}% |"
    yield (
        f"| false alarms / other sound runs | {count['alarms in other sound runs']} "
        f"/ {count['other sound runs']} |"
    )
    if count["not run"]:
        yield f"| rows not run | {count['not run']} |"
    yield from (
        "",
        "Each repetition starts the server anew and asks everything of it again: the timing of its threads",
        "and the batches that requests meet in vary. Weights, prompts, the machine and the recorded baseline",
        "do not, so the rate is that of this pair. Other sound runs are one of a kind each.",
        "",
        "A cell is the worst verdict among a column's needle cells or load levels; `-` was not judged.",
        "A named check is in **bold** where it looks as it should, FAIL or INVALID for the reason given, and",
        "marked `missed` where it does not.",
    )


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
        yield from _against(run)


def _against(rows: Sequence[Row]) -> Iterator[str]:
    """What rows were judged against, where it is not the FP32 baseline of most."""
    named: dict[str, list[str]] = {}
    for row in rows:
        named.setdefault(row.against, []).append(f"`{row.id}`")
    for name, ids in named.items():
        if name != BASELINE:
            yield from ("", f"Against a recorded baseline of {RECORDINGS[name].what}: {', '.join(ids)}.")


def _degrees(rows: Sequence[Row], outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    run = [row for row in rows if row.graded and row.id in outcomes]
    told = dict.fromkeys(name for row in run for name in outcomes[row.id].figures)
    columns = [name for name in told if name.startswith("precision.")]
    if not columns:
        return
    yield from ("", "## Sensitivity: damage by degrees", "")
    yield "Figures in the unit of each threshold, **bold** beyond the limit. The smallest damage with one"
    yield "in bold is what the suite sees. `benchmarks/sensitivity.md` has every degree against one baseline."
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
    cells = [_cell(row, outcome, name, by_column.get(name, ())) for name in columns]
    return f"| {row.id} | {row.what} | {_named(row, outcome)} | {' | '.join(cells)} |"


def _cell(row: Row, outcome: Outcome, name: str, words: Sequence[str]) -> str:
    worst = min(words, key=WORST_FIRST.index, default="SKIPPED")
    shown = "-" if worst == "SKIPPED" else worst
    if name not in row.expect:
        return shown
    return f"{shown} missed" if name in row.missed(outcome) else f"**{shown}**"


def _named(row: Row, outcome: Outcome) -> str:
    if row.sound:
        return "false alarm" if outcome.alarmed else "none"
    return ", ".join(name if looks == FAIL else f"{name} ({looks})" for name, looks in row.expect.items())


def _missing(rows: Sequence[Row], outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    missing = [row.id for row in rows if row.id not in outcomes]
    if missing:
        yield from ("", "## Not run", "", ", ".join(missing))
    yield ""
