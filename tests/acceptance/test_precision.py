"""Is the NPU as right as the GPU? One test per threshold of the precision family."""

from collections.abc import Callable

import pytest

from pytest_gptoss.model.verdicts import Verdict


@pytest.mark.precision
def test_precision(threshold_verdict: Verdict, assert_accepted: Callable[[Verdict], None]) -> None:
    assert_accepted(threshold_verdict)
