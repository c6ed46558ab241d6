"""Hidden states against the FP32 reference: equal errors give 1, and states that are no numbers no ratio."""

import numpy as np
import pytest
from made import hidden, measurement

from pytest_gptoss.judge.metrics.hidden_error_ratio import hidden_error_ratio
from pytest_gptoss.model.errors import InsufficientData

EXACT = np.random.default_rng(1).normal(size=(40, 16))


def off(seed, size):
    return EXACT + size * np.random.default_rng(seed).normal(size=EXACT.shape)


def ratio(npu, gpu):
    sides = {"npu": npu, "gpu": gpu, "cpu": EXACT}
    return hidden_error_ratio(**{
        role: measurement(role, [hidden("a", states)]) for role, states in sides.items()
    })  # fmt: skip


@pytest.mark.parametrize("times", [1, 4])
def test_the_ratio_is_that_of_the_errors(times):
    assert ratio(off(2, times * 0.01), off(3, 0.01)).value == pytest.approx(times, rel=0.15)


def test_states_that_are_not_finite_give_no_ratio():
    """What is left of them would tell the sound positions alone."""
    broken = off(2, 0.01)
    broken[1:] = np.nan
    with pytest.raises(InsufficientData, match="npu: some of its hidden states have no finite values"):
        ratio(broken, off(3, 0.01))
    with pytest.raises(InsufficientData, match="those of the reference, bit for bit"):
        ratio(off(2, 0.01), EXACT)
