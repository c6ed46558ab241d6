"""Writes the threshold table of README.md from the shipped profiles; ``--check`` only compares."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.judge.verdicts import number
from pytest_gptoss.model.verdicts import Threshold

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- thresholds: begin (python tools/make_threshold_table.py) -->"
END = "<!-- thresholds: end -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 when it is stale")
    check = parser.parse_args().check
    text = README.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    fresh = f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}"
    if fresh == text:
        return 0
    if check:
        print(
            "README.md: the threshold table is stale; run python tools/make_threshold_table.py",
            file=sys.stderr,
        )
        return 1
    README.write_text(fresh, "utf-8")
    return 0


def table() -> str:
    """The default profile's rows, the embedded profile's limit beside them, then its own rows."""
    default, embedded = load_profile("atlas-800-a2"), load_profile("embedded")
    lines = [
        "| threshold | figure | limit | tier | from | embedded |",
        "|---|---|---|---|---|---|",
    ]
    for row in default.thresholds.values():
        other = embedded.thresholds.get(row.id)
        demo = "-" if other is None else "same" if other.limit == row.limit else _limit(other)
        lines.append(f"| `{row.id}` | {row.statistic} | {_limit(row)} | {row.tier} | {row.source} | {demo} |")
    lines += [
        f"| `{row.id}` | {row.statistic} | - | {row.tier} | {row.source} | {_limit(row)} |"
        for row in embedded.thresholds.values()
        if row.id not in default.thresholds
    ]
    return "\n".join(lines)


def _limit(row: Threshold) -> str:
    return f"{row.comparison} {number(row.limit)} {row.unit}"


if __name__ == "__main__":
    sys.exit(main())
