"""What is sent to make a server preempt, and where nothing is."""

import pytest

from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.results import Measurement, RequestTiming
from pytest_gptoss.model.subjects import Capabilities, Device, KnownFact, ServerFacts
from pytest_gptoss.scenarios.job import Alone
from pytest_gptoss.scenarios.kinds import Preemption
from pytest_gptoss.scenarios.preemption import LOAD, PreemptionRun, longest_pause_first, rounds
from pytest_gptoss.scenarios.registry import kind_of_id

COUNTER = 'vllm:num_preemptions_total{engine="0"} 0.0\n'


def cache(**labels):
    written = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"vllm:cache_config_info{{{written}}} 1.0\n"


def whole(shape):
    return shape.prompt_tokens + shape.max_tokens


def test_the_first_round_overflows_the_cache_with_as_few_requests_as_can():
    first, second, *_ = rounds(8192, longest=2048)
    assert first == LoadShape(16, 16, 480, 160, "completions")
    assert first.requests * whole(first) == 1.25 * 8192
    assert (second.requests, whole(second)) == (32, 1280)


@pytest.mark.parametrize("held", [None, 100, 8192, 100_000, 400_000, 500_000])
def test_no_round_asks_for_more_than_it_may(held):
    shapes = list(rounds(held, longest=2047))
    assert [each.requests for each in shapes] == [16, 32, 64, 128, 256][-len(shapes) :]
    assert all(128 <= whole(each) <= 2047 for each in shapes)
    assert held is None or whole(shapes[0]) * shapes[0].requests > held


def test_a_cache_that_is_just_overflowed_by_the_most_gets_one_round():
    (only,) = rounds(256 * 2047 - 1, longest=2047)
    assert (only.requests, whole(only)) == (256, 2047)


def test_without_the_caches_size_rounds_begin_small():
    assert [(each.requests, whole(each)) for each in rounds(None, longest=2048)] == [
        (16, 512), (32, 1024), (64, 2048), (128, 2048), (256, 2048),
    ]  # fmt: skip


def test_who_stood_still_longest_comes_first():
    def timing(name, *stamps):
        return RequestTiming(name, 0, 1, stamps, (1,) * len(stamps), None, 99)

    steady, stopped, single = timing("a", 10, 20, 30), timing("b", 10, 20, 90), timing("c", 50)
    assert [each.id for each in longest_pause_first([single, steady, stopped])] == ["b", "a", "c"]


class Page:
    """A client that answers /metrics alone."""

    def __init__(self, text):
        self._text = text

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def metrics_text(self):
        return self._text


def run_on(page, *, metrics=True, max_scored_tokens=2048, at_once=None):
    device = Device("npu", "npu", None, "NPU", "m", None, 131072, Capabilities(metrics=metrics))
    setup = type("Setup", (), {})()
    setup.devices = {"npu": device}
    known = () if at_once is None else (KnownFact("max_num_seqs", str(at_once), "/server_info"),)
    facts = ServerFacts("run", (), 0.0, ("m",), model="m", known=known)
    setup.stored = lambda scenario: Measurement(scenario.id, "npu", (facts,))
    setup.workload = type("Workload", (), {"max_scored_tokens": max_scored_tokens})
    return PreemptionRun.of(Preemption("npu"), setup, Alone(lambda: Page(page), lambda: None))


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (cache(block_size=16, num_gpu_blocks=100), "has no vllm:num_preemptions_total"),
        (COUNTER + cache(block_size=16), "has no bound"),
        (
            COUNTER + cache(block_size=128, num_gpu_blocks=32768),
            "holds 4194304 tokens, and 256 requests of 2048 at once do not fill it: serve it for this row "
            "with --num-gpu-blocks-override N",
        ),
    ],
)
def test_nothing_is_sent_where_nothing_would_show(page, words):
    run = run_on(page)
    assert not run.left_out
    run.measure()
    assert words in run.left_out[LOAD]
    assert run.items == ()


def test_requests_that_would_wait_fill_no_cache():
    page = COUNTER + cache(block_size=128, num_gpu_blocks=512)
    run = run_on(page, at_once=16)
    run.measure()
    assert "holds 65536 tokens, and 16 requests of 2048 at once do not fill it" in run.left_out[LOAD]


def test_a_server_without_metrics_is_left_out():
    assert "serves no /metrics" in run_on("", metrics=False).left_out[LOAD]


def test_its_id_tells_it_whole():
    scenario = Preemption("npu-tp2")
    assert scenario.id == "preemption-npu-tp2"
    assert kind_of_id(scenario.id) is Preemption
    assert Preemption.named(scenario.name) == scenario
