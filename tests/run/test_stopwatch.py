"""Time spent on measuring counts once, however deep the measuring is nested."""

import pytest

from pytest_gptoss.run.stopwatch import Stopwatch


def test_what_is_nested_counts_once():
    now = iter([0.0, 6.0, 10.0, 11.0])
    watch = Stopwatch(clock=lambda: next(now))
    with watch, watch:
        pass
    with watch:
        pass
    assert watch.seconds == 7.0


def test_what_ends_in_an_error_counts():
    now = iter([0.0, 3.0])
    watch = Stopwatch(clock=lambda: next(now))
    with pytest.raises(KeyboardInterrupt), watch:
        raise KeyboardInterrupt
    assert watch.seconds == 3.0
