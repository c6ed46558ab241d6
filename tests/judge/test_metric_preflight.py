"""Preflight figures from facts written down by hand."""

import pytest
from made_servers import facts, unready

from pytest_gptoss.judge.metrics.preflight import baseline, model, ready
from pytest_gptoss.judge.metrics.preflight_clock import clock
from pytest_gptoss.judge.metrics.preflight_context import context
from pytest_gptoss.judge.metrics.preflight_date import harmony_date
from pytest_gptoss.model.errors import ConditionAbsent, InsufficientData


def test_ready_and_model():
    assert ready(npu=facts()).value == 1
    assert model(npu=facts()).details["model"] == "gpt-oss-20b"
    with pytest.raises(InsufficientData, match="nobody there"):
        ready(npu=unready())
    lost = facts(model=None, problem="npu: model 'x' is not served; served: gpt-oss-20b")
    assert ready(npu=lost).value == 1
    with pytest.raises(InsufficientData, match="'x' is not served"):
        model(npu=lost)
    with pytest.raises(InsufficientData, match="'x' is not served"):
        baseline(gpu=lost)


@pytest.mark.parametrize(("needed", "short"), [(0, 0), (131072, 0), (131073, 1), (140000, 8928)])
def test_the_context_falls_short_by_tokens(needed, short):
    estimate = context(npu=facts(), context_needed=needed)
    assert estimate.value == short
    assert bool(short) == ("finding" in estimate.details)
    if short:
        assert f"--max-model-len {needed}" in estimate.details["finding"]


def test_a_context_nobody_tells_is_no_figure():
    with pytest.raises(InsufficientData, match="max_model_len"):
        context(npu=facts(max_model_len=None), context_needed=1)


def test_clocks():
    apart = clock(npu=facts(clock_ahead_s=-30.0), gpu=facts("gpu", clock_ahead_s=90.0))
    assert apart.value == 120
    assert "120 s apart" in apart.details["finding"]
    assert "finding" not in clock(npu=facts(), gpu=facts("gpu")).details
    with pytest.raises(ConditionAbsent, match="gpu sends no Date header"):
        clock(npu=facts(), gpu=facts("gpu", clock_ahead_s=None))


def test_dates_in_the_prompts():
    same = harmony_date(npu=facts(), gpu=facts("gpu"))
    assert same.value == 0
    other = harmony_date(npu=facts(), gpu=facts("gpu", harmony_date="2025-12-30"))
    assert other.value == 2
    assert "VLLM_SYSTEM_START_DATE" in other.details["finding"]
    with pytest.raises(ConditionAbsent, match=r"inputs\.identical"):
        harmony_date(npu=facts(harmony_date=None), gpu=facts("gpu"))
    with pytest.raises(InsufficientData, match="'2026-13-01'"):
        harmony_date(npu=facts(harmony_date="2026-13-01"), gpu=facts("gpu"))
