"""How load is measured, from the options."""

from __future__ import annotations

from pytest_gptoss.config.option_types import ALL
from pytest_gptoss.config.option_values import CheckedOptions
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape, LoadTask

__all__ = ["load_from"]


def load_from(options: CheckedOptions, trace: LoadShape | None) -> LoadTask:
    """The load task; None in a field leaves it as the profile says. ``trace`` is the level of the trace.

    Raises UsageError for an option about a rate or a trace that is not given.
    """
    _refuse_alone(options, "arrivals", "rate", "LIST")
    _refuse_alone(options, "trace_speed", "trace", "FILE")
    law, cv = options.value("arrivals")
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
        ray=options.value("ray"),
        rates=options.value("rate"),
        law=law,
        cv=cv,
        seed=options.value("seed"),
        trace=trace,
        duration_s=options.value("duration"),
        ramp_up_s=options.value("ramp_up"),
        slo_ttft_ms=options.value("slo_ttft"),
        slo_tpot_ms=options.value("slo_tpot"),
        slo_share=options.value("slo_share"),
    )


def _refuse_alone(options: CheckedOptions, key: str, needed: str, metavar: str) -> None:
    if options.given(key) and not options.given(needed):
        raise UsageError(
            f"{options.origin(key)}: there is no {needed} in this run; add --gptoss-{needed} {metavar}"
        )
