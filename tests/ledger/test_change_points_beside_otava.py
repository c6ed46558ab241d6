"""Our change points beside Apache Otava's on the same simulated histories, where Otava is installed."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from otava_changes import NEAR, ours, simulated, theirs

ENVIRONMENT = os.environ.get("GPTOSS_TEST_OTAVA_VENV")
pytestmark = pytest.mark.skipif(
    ENVIRONMENT is None,
    reason="Apache Otava is not there: run nox -s otava, or set GPTOSS_TEST_OTAVA_VENV to its environment",
)
HISTORIES = 10
SINCE = 30


@pytest.mark.parametrize("step", [0.03, -0.05, 0.2])
def test_both_place_a_step_at_the_same_run(step):
    many = simulated(21, HISTORIES, 60, step=step, since=SINCE)
    _, found = theirs(Path(ENVIRONMENT), many)
    for own, other in zip(ours(many), found, strict=True):
        assert own
        assert other
        assert all(min(abs(each - point) for each in other) <= NEAR for point in own)


def test_what_is_a_change_to_us_is_one_to_otava():
    """Otava takes more for a change than we do: it names each of ours, in histories without a step too."""
    many = [*simulated(22, HISTORIES, 60), *simulated(23, HISTORIES, 60, drift=0.001)]
    _, found = theirs(Path(ENVIRONMENT), many)
    own = [bool(points) for points in ours(many)]
    assert sum(own[:HISTORIES]) <= sum(map(bool, found[:HISTORIES]))
    assert all(own[HISTORIES:])
    assert all(found[HISTORIES:])
