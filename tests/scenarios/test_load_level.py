"""What a level asks for, by what its warm-up has shown."""

import pytest

from pytest_gptoss.client.load import LoadRequest
from pytest_gptoss.model.results import Failure, RequestTiming
from pytest_gptoss.scenarios.load_level import counted

REQUESTS = tuple(
    LoadRequest(f"r{place}", "/v1/completions", {"max_tokens": 4, "stream_options": {"include_usage": True}})
    for place in range(2)
)


def warmed(counted_by, error=None):
    return RequestTiming("w", 1, 2, (3,), (1,), None, 4, counted_by=counted_by, error=error)


def test_where_ids_come_nothing_more_is_asked_for():
    assert counted(REQUESTS, [warmed("ids"), warmed("ids")]) == REQUESTS


def test_a_request_that_broke_says_nothing_about_ids():
    assert counted(REQUESTS, [warmed(None, Failure("w", "stream", "cut")), warmed("ids")]) == REQUESTS


@pytest.mark.parametrize("counted_by", [None, "usage"])
def test_without_ids_a_running_usage_is_asked_for(counted_by):
    for before, after in zip(REQUESTS, counted(REQUESTS, [warmed("ids"), warmed(counted_by)]), strict=True):
        usage = {"include_usage": True, "continuous_usage_stats": True}
        assert after.body == {**before.body, "stream_options": usage}
        assert after.id == before.id
