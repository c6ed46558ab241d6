"""How servers are reached: certificates, proxies, waiting."""

import pytest

from pytest_gptoss.model.errors import UsageError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"npu_url": "http://n", "timeout": "soon"}, "number of seconds"),
        ({"npu_url": "http://n", "timeout": "nan"}, "number of seconds"),
        ({"npu_url": "http://n", "timeout": "0"}, "number of seconds"),
        ({"npu_url": "http://n", "ca_bundle": "nowhere.pem"}, "no such file"),
    ],
)
def test_refusals_name_the_option(settings_of, given, message):
    with pytest.raises(UsageError, match=message):
        settings_of(**given)


def test_what_is_not_given_has_its_default(settings_of):
    usual = settings_of(npu_url="http://n")
    assert (usual.ca_bundle, usual.trust_env) == (None, False)
    assert (usual.timeout_s, usual.first_token_timeout_s, usual.ready_timeout_s) == (60.0, None, 600.0)


def test_given_values_are_used(settings_of, tmp_path):
    tmp_path.joinpath("ca.pem").touch()
    given = settings_of(
        npu_url="http://n", ca_bundle="ca.pem", trust_env="1", timeout="5", first_token_timeout="900",
        ready_timeout="0.5",
    )  # fmt: skip
    assert (given.ca_bundle, given.trust_env) == (tmp_path / "ca.pem", True)
    assert (given.timeout_s, given.first_token_timeout_s, given.ready_timeout_s) == (5.0, 900.0, 0.5)
