"""Is there a server, the right one, and ready? One test per threshold of the preflight family."""

from collections.abc import Callable

import pytest

from pytest_gptoss.model.verdicts import Verdict


@pytest.mark.preflight
def test_preflight(threshold_verdict: Verdict, assert_accepted: Callable[[Verdict], None]) -> None:
    assert_accepted(threshold_verdict)
