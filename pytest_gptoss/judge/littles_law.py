"""Little's law over the limits themselves: whether a device could meet them all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_gptoss.judge.figures import number
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.load_names import is_open_level
from pytest_gptoss.model.message import both, say
from pytest_gptoss.model.verdicts import Threshold

__all__ = ["contradictions"]


def contradictions(thresholds: Iterable[Threshold], shapes: Mapping[str, LoadShape]) -> list[str]:
    """One line for each level whose rate limits ask for more than its latency limits do.

    With c requests under way, a request may last c / QPS seconds, or c * tokens / throughput; what the
    TTFT limit leaves of that is shared by the tokens after the first. The latency limits of the lowest
    level stand for a level that has none of its own.

    An open loop keeps no number of requests under way, so its levels and their limits are left out.

    J. D. C. Little, "A proof for the queuing formula L = lambda W", Oper. Res. 9 (1961) 383-387.
    """
    rows = {row.id: row for row in thresholds if row.family == "performance" and not _is_open(row)}
    ttft, tpot = _lowest(rows, "ttft"), _lowest(rows, "tpot")
    if tpot is None:
        return []
    lines: list[str] = []
    for level, shape in shapes.items():
        if shape.arrivals is not None:
            continue
        concurrency, later = shape.concurrency, shape.max_tokens - 1
        rates = [rows[name] for name in _rates(level) if name in rows]
        if not rates or later < 1:
            continue
        first = rows.get(f"performance.ttft.{level}") or ttft
        wait_s = 0.0 if first is None else first.limit / 1000
        gap_s = (rows.get(f"performance.tpot.{level}") or tpot).limit / 1000
        longest = min(_longest(row, shape) for row in rates)
        implied_s = (longest - wait_s) / later
        if implied_s >= gap_s:
            continue
        slowest = wait_s + later * gap_s
        asked = both(f"{row.comparison} {number(row.limit)} {row.unit}" for row in rates)
        lines.append(
            say(
                "{level}: by Little's law {asked} with {max_tokens} tokens an answer need a TPOT "
                "of at most {implied_s:.1f} ms; a TPOT at its limit of {gap_s} ms would give "
                "{throughput:.0f} tok/s and {rate:.2f} req/s",
                level=level,
                asked=asked,
                max_tokens=shape.max_tokens,
                implied_s=implied_s * 1000,
                gap_s=number(gap_s * 1000),
                throughput=concurrency * shape.max_tokens / slowest,
                rate=concurrency / slowest,
            )
        )
    return lines


def _is_open(row: Threshold) -> bool:
    return is_open_level(row.metric.partition(".")[2])


def _rates(level: str) -> tuple[str, str]:
    return f"performance.throughput.{level}", f"performance.qps.{level}"


def _lowest(rows: Mapping[str, Threshold], figure: str) -> Threshold | None:
    names = sorted(name for name in rows if name.startswith(f"performance.{figure}."))
    return rows[names[0]] if names else None


def _longest(row: Threshold, shape: LoadShape) -> float:
    """Seconds that a request may last for its level to keep a rate limit."""
    tokens = shape.max_tokens if ".throughput." in row.id else 1
    return shape.concurrency * tokens / row.limit if row.limit > 0 else float("inf")
