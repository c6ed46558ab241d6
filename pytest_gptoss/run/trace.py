"""The load level of the trace that an option names."""

from __future__ import annotations

from pytest_gptoss.config.option_values import CheckedOptions
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.scenarios.open_levels import trace_level

__all__ = ["level_of_trace"]


def level_of_trace(options: CheckedOptions) -> LoadShape | None:
    """The level that ``--gptoss-trace`` gives, None without one. Raises UsageError naming the line."""
    path, speed = options.value("trace"), options.value("trace_speed")
    if path is None:
        return None
    if options.value("bench_endpoint") != "completions":
        raise UsageError(
            f"{options.origin('trace')} {path}: its prompts have many lengths, which only token ids give "
            "exactly: add --gptoss-bench-endpoint completions"
        )
    return trace_level(
        path,
        speed=speed,
        most=options.value("num_requests"),
        duration_s=options.value("duration"),
    )
