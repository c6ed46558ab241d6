"""A few of the simulated fleets of ``benchmarks/fleet.md``."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import fleet

FLEETS, FAULTY = 20, 6


@pytest.mark.parametrize(
    ("model", "fault", "row"),
    [
        (fleet.TINY, fleet.lost_expert, "fleet.logprobs"),
        (fleet.CHAT, fleet.wrong_tokens, "fleet.repeat"),
        (fleet.CHAT, fleet.six_bits, "fleet.logprobs"),
        (fleet.TINY, fleet.slower, "fleet.tpot"),
    ],
)
def test_the_faulty_node_is_named(model, fault, row):
    found = fleet.faults_found(model, fault, fleets=FAULTY)
    assert found.named == FAULTY
    assert found.by_row[row] >= FAULTY - 1
    assert found.others == 0


def test_sound_fleets_do_not_alarm():
    alarms = fleet.false_alarms(fleet.CHAT, fleets=FLEETS)
    assert alarms["any"] == 0, alarms


def test_an_answer_forks_where_a_variants_likeliest_token_is_another():
    spoilt = fleet.TINY.answer("zero-expert", "zero-expert", 0)
    sound = fleet.TINY.answer("vllm", "reference", 0)
    assert spoilt.token_ids != sound.token_ids
    assert len(spoilt.token_ids) == len(sound.token_ids)
    assert np.isfinite(spoilt.logprobs).all()
