"""Is the NPU right while it is busy? One test per threshold of the stress family."""

from collections.abc import Callable

import pytest

from pytest_gptoss.model.verdicts import Verdict


@pytest.mark.stress
def test_stress(threshold_verdict: Verdict, assert_accepted: Callable[[Verdict], None]) -> None:
    assert_accepted(threshold_verdict)
