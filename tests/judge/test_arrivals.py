"""Token events that were held back make no latency; those that only look so do."""

import pytest
from made_load import level, request, steady, trial

from pytest_gptoss.judge.arrivals import why_buffered
from pytest_gptoss.judge.metrics.performance import completed, itl, latency, qps, throughput
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.token_arrivals import arrivals, is_buffered

READ_MS = 0.3
"""Time between two reads of what was flushed at once."""


def blocks(*sizes, first=400.0, apart=250.0, within=0.0):
    """Stamps in ms of blocks of so many events, ``within`` a block each so much after the one before."""
    return [first + place * apart + step * within for place, size in enumerate(sizes) for step in range(size)]


def stream(*stamps, name="r", **fields):
    return request(name, 0, *stamps, **fields)


def of(*streams, **fields):
    return level(*streams, max_tokens=max(sum(each.tokens) for each in streams), **fields)


BUFFERED = {
    "all at the end": blocks(32),
    "all at the end, in many reads": blocks(32, within=READ_MS),
    "in blocks": blocks(8, 8, 8, 8),
    "in blocks, in many reads": blocks(11, 11, 10, within=READ_MS),
    "blocks of four": blocks(4, 4, 4, 4),
    "the least that counts": [*blocks(8), *(1000 + 20 * step for step in range(7))],
    "a short answer at once": blocks(6),
}
SOUND = {
    "one by one": [80 + 5 * step for step in range(32)],
    "one by one, very fast": [80 + 1.2 * step for step in range(32)],
    "two or three a read, a busy client": blocks(*(3, 2, 3, 1) * 8, apart=15),
    "speculative bursts of three": blocks(*(3,) * 11, apart=30, within=READ_MS),
    "a long wait, then a short answer": [30_000 + 5 * step for step in range(12)],
    "a long wait, then a very short answer": [30_000, 30_005, 30_010],
    "exactly half in groups": [*blocks(8), *(1000 + 20 * step for step in range(8))],
    "seven in a group": [*blocks(7), *(1000 + 20 * step for step in range(6))],
    "one event": [80],
}


def test_an_arrival_is_what_one_read_or_one_flush_brings():
    assert arrivals([]) == []
    assert arrivals([5, 5, 5]) == [3]
    assert arrivals([0, 1_000_000, 2_000_000, 3_000_001]) == [3, 1]


@pytest.mark.parametrize("kind", BUFFERED)
def test_what_was_held_back_is_seen(kind):
    assert is_buffered(stream(*BUFFERED[kind]))


@pytest.mark.parametrize("kind", SOUND)
def test_what_was_not_held_back_is_left_alone(kind):
    assert not is_buffered(stream(*SOUND[kind]))
    assert why_buffered(of(stream(*SOUND[kind]))) is None


@pytest.mark.parametrize("tokens", [8, 32])
def test_several_tokens_in_one_event_are_one_event(tokens):
    """Stream intervals, and speculative decoding that sends what was accepted in one event."""
    stamps = [80 + 40 * step for step in range(16)]
    assert not is_buffered(stream(*stamps, tokens=(1, *(tokens,) * 15)))


def test_a_buffered_level_has_no_latency_and_keeps_its_rates():
    made = trial(of(*(stream(*BUFFERED["all at the end"], name=f"r{place}") for place in range(4))))
    for metric in (
        lambda: latency(figure="ttft", trial_0=made),
        lambda: latency(figure="tpot", trial_0=made),
        lambda: latency(figure="first_text", trial_0=made),
        lambda: itl(trial_0=made),
    ):
        with pytest.raises(InsufficientData) as caught:
            metric()
        said = str(caught.value)
        assert "buffered in 4 of 4 requests: r0 brought 32 in arrivals of 32 events" in said
        assert "proxy_buffering off" in said
        assert "X-Accel-Buffering: no" in said
    assert completed(trial_0=made).value == 1
    assert throughput(trial_0=made).value == pytest.approx(4 * 32 / 0.4)
    assert qps(trial_0=made).value == pytest.approx(10)
    assert latency(figure="e2e", trial_0=made).value == 400


@pytest.mark.parametrize(("held", "alarm"), [(5, False), (6, True)])
def test_over_half_of_the_requests_must_be_buffered(held, alarm):
    streams = [stream(*BUFFERED["in blocks"], name=f"b{place}") for place in range(held)]
    streams += [stream(*SOUND["one by one"], name=f"s{place}") for place in range(10 - held)]
    assert (why_buffered(of(*streams)) is not None) == alarm


def test_one_buffered_trial_takes_the_ground_from_all():
    sound = trial(level(*steady(4, ttft=80, tpot=10)))
    held = trial(of(*(stream(*BUFFERED["in blocks"], name=f"r{place}") for place in range(4))))
    with pytest.raises(InsufficientData, match=r"arrivals of 8, 8, 8, 8 events"):
        latency(figure="ttft", trial_0=sound, trial_1=held)


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ({"ttft_seconds": 0.32, "ttft_count": 4.0}, True),
        ({"ttft_seconds": 0.72, "ttft_count": 9.0}, False),  # it counts the requests of others too
        ({"requests": 4.0}, False),
        (None, False),
    ],
)
def test_the_servers_own_first_token_stands_beside_it(server, told):
    made = of(*(stream(*blocks(32), name=f"r{place}") for place in range(4)), server=server)
    beside = "mean TTFT 400.0 ms here, 80.0 ms by the server's own count"
    assert (beside in why_buffered(made)) == told
