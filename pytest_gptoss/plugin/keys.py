"""Names the plugin's modules share: what is kept on pytest's config, and the markers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_gptoss.plugin.session import Session

__all__ = ["MEASURED_S", "NEEDS_RUN", "ROW", "SESSION"]

SESSION: pytest.StashKey[Session] = pytest.StashKey()
MEASURED_S: pytest.StashKey[float] = pytest.StashKey()
"""On an item: seconds of its setup that went into measuring for the whole run."""
ROW = "threshold_row"
"""The fixture whose parametrization makes a test one row of the acceptance table."""
NEEDS_RUN = "gptoss_session"
"""The fixture that every fixture of ours rests on: a test that has it needs a run."""
