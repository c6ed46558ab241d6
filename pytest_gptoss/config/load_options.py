"""How load is measured, from the options."""

from __future__ import annotations

from pytest_gptoss.config.option_types import ALL
from pytest_gptoss.config.option_values import CheckedOptions
from pytest_gptoss.model.inputs import LoadTask

__all__ = ["load_from"]


def load_from(options: CheckedOptions) -> LoadTask:
    """The load task; None in a field leaves it as the profile says."""
    return LoadTask(
        concurrency=options.value("concurrency"),
        requests=options.value("num_requests"),
        max_tokens=options.value("max_tokens"),
        prompt_tokens=options.value("prompt_len"),
        endpoint=options.value("bench_endpoint"),
        trials=options.value("trials"),
        gpu=options.value("load_gpu"),
        calibrate=not options.value("no_calibration"),
        audit=None if options.value("audit") == ALL else options.value("audit"),
        workers=options.value("load_workers"),
    )
