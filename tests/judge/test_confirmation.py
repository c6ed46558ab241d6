"""When a device confirms, asked alone, what it answered under stress."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import failure, measurement, scored, top

from pytest_gptoss.judge.confirmation import ALLOWED, allowed, confirmed, excluded_share
from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.deficits import compared, deficits, excess
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.gptoss import RETURN
from pytest_gptoss.model.results import StressAnswer
from pytest_gptoss.scenarios.kinds import Audit, Load

SURE = -0.1


def answer(name, deficit_of_each, *, ends_at=None, kind=""):
    """An answer of tokens 3, 4, ...; each lies so far below token 1, the likeliest."""
    count = len(deficit_of_each)
    best = [RETURN if place == ends_at else 1 for place in range(count)]
    rows = [{token: SURE, 2: -3.0} for token in best]
    logprobs = SURE - np.array(deficit_of_each, dtype=np.float64)
    return StressAnswer(name, tuple(range(3 + count)), 3, logprobs, top(*rows), kind=kind)


def quiet(*sums):
    """The device's own answers, each with so many nats beyond what is tolerated."""
    return measurement(
        "npu", [scored(f"q{place}", [SURE - 0.5 - each, *[SURE] * 9], tops=[{1: SURE, 2: -3.0}] * 10)
                for place, each in enumerate(sums or (0.0,))],
    )  # fmt: skip


def judged(*answers, own=None, **fields):
    return confirmed(measurement("npu", answers, **fields), own or quiet())


def test_an_answer_that_the_quiet_device_would_give_is_confirmed():
    found = judged(answer("a", [0.0] * 10), answer("b", [0.4] * 10))
    assert (found.value, found.n, found.unit, found.interval) == (1.0, 2, "share", None)
    assert found.details["departures"] == []
    assert "confirms all 2 answers" in found.details["finding"]


def test_a_departure_is_told_with_its_first_token():
    found = judged(answer("sound", [0.0] * 10), answer("bad", [0.0, 0.3, 1.5, 4.0, *[0.0] * 8]))
    assert found.value == 0.5
    (row,) = found.details["departures"]
    assert (row["answer"], row["index"], row["token"], row["best"]) == ("bad", 2, 5, 1)
    assert row["deficit"] == pytest.approx(1.5)
    assert row["sum"] == pytest.approx(1.0 + 3.5)
    assert "does not confirm 1 of 2 answers" in found.details["finding"]
    assert "first bad, from token 2 on: generated 5" in found.details["finding"]
    assert found.details["excluded"] is None


def test_near_ties_may_fall_the_other_way():
    assert judged(answer("ties", [0.45] * 200)).value == 1.0
    assert excess(answer("ties", [0.45] * 200)) == 0.0


def test_what_the_devices_own_quiet_answers_come_to_is_allowed_twice():
    noisy = answer("a", [3.0, *[0.0] * 9])  # 2.5 nat
    assert judged(noisy).value == 0.0
    assert allowed(quiet(0.0, 1.4)) == pytest.approx(2.8)
    assert judged(noisy, own=quiet(0.0, 1.4)).value == 1.0
    assert allowed(quiet(0.2)) == ALLOWED


def test_a_line_says_what_widened_the_limit():
    sound = answer("a", [0.0] * 9)
    assert "nat are allowed" not in judged(sound, own=quiet(0.9)).details["finding"]
    assert "; 2.8 nat are allowed for each" in judged(sound, own=quiet(1.4)).details["finding"]


def test_what_was_forced_beyond_the_models_own_end_is_not_compared():
    found = answer("a", [*[0.0] * 8, 0.0, 9.0, 9.0], ends_at=8)
    assert (compared(found), len(deficits(found))) == (8, 8)
    assert judged(found).value == 1.0
    # Before its end it counts.
    assert judged(answer("a", [9.0, *[0.0] * 8], ends_at=8)).value == 0.0


def test_answers_that_say_too_little_do_not_count():
    short = answer("short", [9.0] * 7)
    found = judged(answer("a", [0.0] * 8), short)
    assert (found.value, found.n) == (1.0, 1)
    with pytest.raises(InsufficientData, match="1 of 3 answers have 8 tokens or more"):
        judged(answer("a", [0.0] * 8), short, short)
    with pytest.raises(InsufficientData, match="0 of 1 answers"):
        judged(short)


def test_answers_of_another_kind_do_not_count():
    items = [answer("a", [0.0] * 9, kind="cold"), answer("b", [9.0] * 9, kind="cached")]
    stressed = measurement("npu", items)
    assert confirmed(stressed, quiet(), kind="cold").value == 1.0
    assert confirmed(stressed, quiet(), kind="cached").value == 0.0


def test_scores_that_are_none_are_no_confirmation():
    broken = answer("a", [0.0] * 9)
    broken.logprobs[4] = np.nan
    with pytest.raises(InsufficientData, match="1 log-probabilities of a are none"):
        judged(broken)
    sentinel = answer("a", [0.0] * 9)
    sentinel.logprobs[:] = -9999.0
    with pytest.raises(InsufficientData, match="are none"):
        judged(sentinel)
    bad_own = measurement("npu", [scored("q", [float("nan")] * 9)])
    with pytest.raises(InsufficientData, match="log-probabilities of q"):
        judged(answer("a", [0.0] * 9), own=bad_own)


def test_a_part_is_not_judged():
    with pytest.raises(InsufficientData, match="measuring stopped after 1 answers"):
        judged(answer("a", [0.0] * 9), complete=False)
    with pytest.raises(InsufficientData, match="1 of 2 answers failed"):
        judged(answer("a", [0.0] * 9), failures=(failure("b"),))
    with pytest.raises(
        InsufficientData, match="no answers to judge: all 1 were left out, first c16-0000: the server"
    ):
        judged(left_out={"c16-0000": "the server did not tell its token ids"})


def test_the_share_that_a_sample_excludes():
    assert excluded_share(1) == pytest.approx(0.95)
    assert excluded_share(64) == pytest.approx(0.0457, abs=1e-4)  # 64 draws miss 4.57% with 5%
    assert (1 - excluded_share(100)) ** 100 == pytest.approx(0.05)


@given(st.lists(st.floats(0, 50), min_size=8, max_size=40), st.floats(0, 50))
def test_more_deficit_never_confirms_what_less_does_not(row, more):
    worse = [row[0] + more, *row[1:]]
    assert excess(answer("a", worse)) >= excess(answer("a", row))
    assert judged(answer("a", worse)).value <= judged(answer("a", row)).value


def test_each_level_has_its_audit():
    metric = metric_named("audit.c16")
    needs = metric.needs(Roles("tp8", audit=12))
    assert needs["load"] == Load("tp8", "c16")
    assert needs["audited"] == Audit("tp8", "c16", 12)
    assert {each.device for each in needs.values()} == {"tp8"}
    level = measurement("npu", ["level"])
    found = metric.compute(load=level, audited=measurement("npu", [answer("a", [0.0] * 9)]), quiet=quiet())
    assert (found.value, found.n) == (1.0, 1)


def test_a_level_half_of_whose_draw_cannot_be_scored_is_not_judged():
    compute = metric_named("audit.c16").compute
    level = measurement("npu", ["level"])
    sound = [answer(f"a{place}", [0.0] * 9) for place in range(4)]
    failed = {f"f{place}": "no first token within 60 s" for place in range(5)}
    half = dict(list(failed.items())[:4])
    assert compute(load=level, audited=measurement("npu", sound, left_out=half), quiet=quiet()).n == 4
    with pytest.raises(InsufficientData, match=r"4 of 9 drawn answers could be scored.*f0: no first token"):
        compute(load=level, audited=measurement("npu", sound, left_out=failed), quiet=quiet())


def test_answers_drawn_for_those_that_say_too_little_make_the_draw_no_larger():
    compute = metric_named("audit.c16").compute
    level = measurement("npu", ["level"])
    enough = [answer(f"a{place}", [0.0] * 9) for place in range(12)]
    short = [answer(f"s{place}", [0.0] * 3) for place in range(20)]
    drawn = dataclasses.replace(measurement("npu", [*short, *enough]), scenario_id=Audit("npu", "c16", 12).id)
    assert compute(load=level, audited=drawn, quiet=quiet()).n == 12
    few = dataclasses.replace(drawn, items=(*short, *enough[:5]))
    with pytest.raises(InsufficientData, match="5 of 12 answers have 8 tokens or more"):
        compute(load=level, audited=few, quiet=quiet())


def test_a_fault_in_one_answer_of_thirty_is_found_and_sound_answers_raise_no_alarm():
    """150 answers, all audited: the fault is missed with 0.6%; rounding of sound batches never adds up."""
    random = np.random.default_rng(0)
    caught = 0
    for _ in range(20):
        faulty = random.random(150) < 1 / 30
        sound = np.abs(random.normal(0, 0.05, (150, 32)))
        near_ties = random.random((150, 32)) < 0.01
        rows = np.where(near_ties, random.uniform(0, 0.6, (150, 32)), sound)
        rows[faulty, 5] = random.uniform(3, 12, faulty.sum())
        caught += judged(*(answer(f"a{n}", row) for n, row in enumerate(rows))).value < 1
        assert judged(*(answer(f"a{n}", row) for n, row in enumerate(rows[~faulty]))).value == 1
    assert caught >= 19
