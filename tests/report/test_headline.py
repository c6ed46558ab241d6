"""What a report points at first."""

import pytest

from pytest_gptoss.report.headline import CLOSE, close

ROW = {
    "family": "performance", "verdict": "PASS", "comparison": "<", "headroom": CLOSE / 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({}, True),
        ({"headroom": CLOSE}, False),
        ({"headroom": None}, False),
        ({"comparison": "="}, False),
        ({"verdict": "FAIL"}, False),
        ({"family": "capability", "headroom": 0.0}, False),
        ({"family": "precision", "headroom": 0.0}, True),
    ],
)
def test_a_pass_with_little_room_is_close_unless_it_is_a_setting_of_the_server(other, expected):
    assert close({**ROW, **other}) is expected
