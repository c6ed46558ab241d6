"""``--gptoss-compare forced``: the two sequence rows are gated by another statistic and another limit."""

import pytest

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.judge.thresholds import load_profile, profile_names

ROWS = ("precision.token_match_rate", "precision.rouge_l")


@pytest.mark.parametrize("profile", profile_names())
def test_the_choice_is_shown_as_a_changed_limit(profile):
    usual, forced = load_profile(profile), load_profile(profile, forced=True)
    assert {row.id for row in forced.changed} == set(ROWS)
    for threshold_id in ROWS:
        row, before = forced.thresholds[threshold_id], usual.thresholds[threshold_id]
        assert (row.statistic, row.limit) == ("forced", 0.96)
        assert (row.statistic_from, row.changed_from) == (before.statistic, before.limit)
        assert row.tier == "contract"


def test_the_option_reaches_the_plan():
    plan = make_plan(Settings(profile="embedded", compare="forced"))
    assert plan.thresholds[ROWS[0]].statistic == "forced"
    assert make_plan(Settings(profile="embedded")).thresholds[ROWS[0]].statistic == "rate"


def test_a_users_own_limit_wins_and_what_it_was_in_the_profile_is_told(tmp_path):
    changes = tmp_path / "mine.toml"
    changes.write_text('[thresholds."precision.rouge_l"]\nlimit = 0.9\n')
    row = load_profile("embedded", forced=True, overrides=changes).thresholds["precision.rouge_l"]
    assert (row.limit, row.changed_from, row.statistic, row.statistic_from) == (0.9, 0.98, "forced", "mean")
