"""The scenarios of the stress family against the reference server: what happens is what they are made for."""

import numpy as np
import pytest
from live_server import LiveServer

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.subjects import Capabilities, Device
from pytest_gptoss.reference.engine import create_engine
from pytest_gptoss.scenarios import abort_storm, cached_prefix
from pytest_gptoss.scenarios.abort_storm import AbortStormRun
from pytest_gptoss.scenarios.cached_prefix import CachedPrefixRun
from pytest_gptoss.scenarios.job import Alone
from pytest_gptoss.scenarios.kinds.prefix import SHARED_TOKENS

NPU = Device(
    "npu", "npu", None, "npu", "m", None, None, Capabilities(tokenize=True, metrics=True, logprobs=True)
)


def measured(kind, *, prefix_caching=True):
    """The run of a kind of scenario against a server of its own."""
    engine = create_engine(model="tiny", prefix_caching=prefix_caching)
    try:
        with LiveServer(engine) as server:
            client = VllmClient(Endpoint(server.url), role="npu")
            run = kind(NPU, 2048, Alone(lambda: client, lambda: None))
            run.measure()
            return run
    finally:
        engine.close()


@pytest.mark.parametrize("prefix_caching", [True, False])
def test_answers_come_from_the_prefix_cache_where_there_is_one(prefix_caching, monkeypatch):
    monkeypatch.setattr(cached_prefix, "QUESTIONS", 2)
    run = measured(CachedPrefixRun, prefix_caching=prefix_caching)
    cold, cached = run.items[:2], run.items[2:]
    hits = SHARED_TOKENS if prefix_caching else 0
    assert [each.cached_tokens for each in run.items] == [0, 0, hits, hits]
    assert [each.token_ids for each in cold] == [each.token_ids for each in cached]
    for one, other in zip(cold, cached, strict=True):
        assert np.abs(one.generated - other.generated).max() < 1e-3
        assert other.token_ids[other.first] == other.top.ids[0, 0]


def test_canaries_in_a_storm_are_what_the_server_says_alone(monkeypatch):
    monkeypatch.setattr(abort_storm, "STREAMS", 16)
    run = measured(AbortStormRun)
    assert sum(name.startswith("stream-") for name in run.left_out) <= 8
    assert [each.kind for each in run.items] == ["before"] * 8 + ["canary"] * 16
    for each in run.items:
        assert np.abs(each.logprobs - each.top.logprobs[:, 0]).max() < 0.5
