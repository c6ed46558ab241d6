"""Answers scored when nothing else is asked: equal ones once, and twice where they are not confirmed."""

from types import SimpleNamespace

import numpy as np
import pytest

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.model.deficits import excess
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.results import TopLogprobs
from pytest_gptoss.scenarios.quiet_scoring import OnceScored

LIKELIEST, OTHER = 5, 6


class Device:
    """Answers with the deficits of one scoring after the other, in nats, the same at each token."""

    def __init__(self, *deficits):
        self.deficits = list(deficits)

    async def score(self, sequence, *, top):
        count = len(sequence.token_ids) - sequence.first
        best = np.zeros(count)
        mine = best - self.deficits.pop(0)
        return SimpleNamespace(
            token_ids=sequence.token_ids,
            first=sequence.first,
            logprobs=mine,
            top=TopLogprobs(np.array([[LIKELIEST, OTHER]] * count), np.stack([best, best - 9], axis=1)),
        )


def scored(device, *names):
    once = OnceScored()

    async def all_of():
        ids = (1, 2, OTHER, OTHER)
        return [await once.answer(device, TokenSequence(name, ids, first=2)) for name in names]

    return run_async(all_of())


def test_an_answer_that_is_confirmed_is_scored_once_however_often_it_came():
    device = Device(0.4)
    answers = scored(device, "r0-00", "r1-00")
    assert [each.sequence_id for each in answers] == ["r0-00", "r1-00"]
    assert [excess(each) for each in answers] == [0, 0]
    assert not device.deficits


def test_a_fault_in_the_scoring_itself_does_not_pass_for_the_devices_rounding():
    device = Device(10.0, 0.1)
    assert [excess(each) for each in scored(device, "r0-00", "r1-00")] == [0, 0]
    assert not device.deficits


@pytest.mark.parametrize("second", [10.0, 12.0])
def test_what_the_device_denies_twice_stays_denied(second):
    device = Device(10.0, second)
    assert [excess(each) for each in scored(device, "r0-00")] == [pytest.approx(19)]
