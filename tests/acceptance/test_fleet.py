"""Which node of a fleet is the odd one? One test per threshold of the fleet family; none without a fleet."""

from collections.abc import Callable

import pytest

from pytest_gptoss.model.verdicts import Verdict


@pytest.mark.fleet
def test_fleet(threshold_verdict: Verdict, assert_accepted: Callable[[Verdict], None]) -> None:
    assert_accepted(threshold_verdict)
