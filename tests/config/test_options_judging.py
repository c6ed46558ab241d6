"""Which thresholds are judged: profile, changes, waivers."""

import pytest

from pytest_gptoss.model.errors import UsageError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"npu_url": "http://n", "waive": "precision.rouge_l"}, "ID=REASON"),
        ({"npu_url": "http://n", "waive": "precision.rouge_l= "}, "needs its reason"),
    ],
)
def test_refusals_name_the_option(settings_of, given, message):
    with pytest.raises(UsageError, match=message):
        settings_of(**given)


def test_the_profile_is_chosen_where_the_table_is_made_unless_given(settings_of, tmp_path):
    tmp_path.joinpath("mine.toml").touch()
    assert settings_of(npu_url="http://n").profile is None
    given = settings_of(npu_url="http://n", profile="embedded", thresholds="mine.toml")
    assert (given.profile, given.thresholds) == ("embedded", tmp_path / "mine.toml")
    with pytest.raises(UsageError, match=r"--gptoss-thresholds is 'none\.toml': no such file"):
        settings_of(npu_url="http://n", thresholds="none.toml")


def test_a_waiver_keeps_its_reason(settings_of):
    waived = settings_of(npu_url="http://n", waive=["precision.kl = seen = known", "precision.mae=y"])
    assert waived.waivers == {"precision.kl": "seen = known", "precision.mae": "y"}


def test_answers_are_compared_as_the_guide_says_unless_told(settings_of):
    assert settings_of(npu_url="http://n").compare == "free"
    assert settings_of(npu_url="http://n", compare="forced").compare == "forced"
    with pytest.raises(UsageError, match="--gptoss-compare is 'both': it takes free or forced"):
        settings_of(npu_url="http://n", compare="both")
