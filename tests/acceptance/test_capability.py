"""Which features work, and do all configurations agree? One test per threshold of the capability family."""

from collections.abc import Callable

import pytest

from pytest_gptoss.model.verdicts import Verdict


@pytest.mark.capability
def test_capability(threshold_verdict: Verdict, assert_accepted: Callable[[Verdict], None]) -> None:
    assert_accepted(threshold_verdict)
