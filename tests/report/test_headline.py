"""What a report points at first."""

import pytest
from documents import recorded

from pytest_gptoss.report.headline import CLOSE, close, partial, tone, verdict_words
from pytest_gptoss.report.wording import Wording

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


def test_a_part_is_counted_and_has_no_colour_of_a_verdict():
    document = recorded("waived")
    document["run"]["profile"] = "atlas-800-a2"
    assert verdict_words(document, Wording("en")) == "PASSED IN PART: 3 of the guide's 13 thresholds"
    assert "9 were not judged, 1 waived, 0 skipped" in partial(document, Wording("en"))
    assert verdict_words(document, Wording("zh")) == "部分通过：指南 13 项阈值中通过 3 项"
    assert tone(document) not in ("PASS", "FAIL", "INVALID")


def test_the_embedded_pair_is_never_green_nor_called_accepted():
    document = recorded("passing")
    assert document["run"]["verdict"] == "ACCEPTED"
    words = verdict_words(document, Wording("en"))
    assert words == "embedded demonstration, no device was accepted (all contract rows passed)"
    assert tone(document) != "PASS"
    document["run"]["profile"] = "atlas-800-a2"
    assert (verdict_words(document, Wording("en")), tone(document)) == ("ACCEPTED", "PASS")
