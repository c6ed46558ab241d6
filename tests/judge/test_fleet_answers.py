"""Answers of a fleet's nodes that depart from those of the others, and from the node's own."""

import dataclasses

import numpy as np
import pytest
from made_fleet import SURE, answer, answers, estimate, named

from pytest_gptoss.judge.fleet_repeats import found_rate, repeats
from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.gptoss import RETURN

TRUE = tuple(range(100, 120))
TIE = {10: {110: SURE, 555: SURE - 0.3}}
TURNED = {10: {555: SURE, 110: SURE - 0.2}}
OTHER = (*TRUE[:10], *range(555, 565))


def fleet(*each):
    """A node for each answer to the second of two canaries; the first is answered alike by all."""
    return {
        f"n{place}": answers(f"n{place}", answer("r0-00", TRUE), given) for place, given in enumerate(each)
    }


SOUND = answer("r0-01", TRUE, tops=TIE)
WRONG = answer("r0-01", OTHER)
NEAR = answer("r0-01", OTHER, tops=TURNED)


def test_equal_answers_and_near_ties_depart_from_nothing():
    nodes = fleet(SOUND, SOUND, SOUND, NEAR)
    assert named("fleet_answers", nodes) == set()
    found = estimate("fleet_answers", nodes, "n3")
    assert (found.value, found.n, found.unit) == (0, 2, "answers")
    assert "all 2 canary answers are those of n0 but for near ties" in found.details["finding"]


@pytest.mark.parametrize(("sound", "faulty"), [(2, 1), (3, 2), (4, 3), (31, 1)])
def test_a_faulty_minority_that_agrees_with_itself_is_named_and_no_sound_node_is(sound, faulty):
    nodes = fleet(*[WRONG] * faulty, *[SOUND] * sound)
    assert named("fleet_answers", nodes) == {f"n{place}" for place in range(faulty)}


def test_a_departure_is_told_with_its_first_token():
    found = estimate("fleet_answers", fleet(SOUND, SOUND, WRONG), "n2")
    (row,) = found.details["departures"]
    assert row["margin"] > 0.5
    assert {**row, "margin": 0} == {
        "answer": "r0-01", "kind": "real", "index": 10, "token": 555, "medoid_token": 110, "margin": 0,
    }  # fmt: skip
    assert found.details["medoid"] == "n0"
    assert "1 of 2 canary answers depart from those of n0; first r0-01, from token 10" in str(
        found.details["finding"]
    )


def test_an_end_departs_only_where_it_was_no_near_tie():
    short = answer("r0-01", TRUE[:10])
    assert named("fleet_answers", fleet(SOUND, SOUND, short)) == {"n2"}
    may_end = answer("r0-01", TRUE, tops={10: {110: SURE, RETURN: SURE - 0.4}})
    assert named("fleet_answers", fleet(may_end, may_end, short)) == set()


def test_another_prompt_departs():
    other = answer("r0-01", TRUE, prompt=(7, 8, 9, 10))
    nodes = fleet(SOUND, SOUND, other)
    assert named("fleet_answers", nodes) == {"n2"}
    assert "first r0-01: another prompt" in estimate("fleet_answers", nodes, "n2").details["finding"]


def test_an_answer_that_did_not_come_is_no_other_answer():
    lost = answers("n3", answer("r0-00", TRUE))
    why = {"r0-01": "HTTP 503"}
    lost = {**lost, "answers": dataclasses.replace(lost["answers"], left_out=why)}
    nodes = {**fleet(SOUND, SOUND, WRONG), "n3": lost}
    with pytest.raises(InsufficientData, match=r"n3 gave no answer to 1 canaries.*first r0-01: HTTP 503"):
        estimate("fleet_answers", nodes, "n3")
    assert {each for each in ("n0", "n1", "n2") if estimate("fleet_answers", nodes, each).value} == {"n2"}


def test_a_canary_that_no_node_could_be_asked_is_not_compared():
    nodes = {f"n{place}": answers(f"n{place}", answer("r0-00", TRUE)) for place in range(3)}
    for name, node in nodes.items():
        measured = dataclasses.replace(node["answers"], left_out={"r0-01": "2100 tokens, more than 2048"})
        nodes[name] = {**node, "answers": measured}
    assert named("fleet_answers", nodes) == set()


def test_answers_of_later_rounds_are_not_compared():
    later = answers("n2", answer("r0-00", TRUE), SOUND, answer("r1-00", OTHER))
    assert named("fleet_answers", {**fleet(SOUND, SOUND), "n2": later}) == set()


def test_a_node_without_scores_is_left_out_for_the_others_and_invalid_itself():
    broken = answer("r0-01", TRUE)
    broken.logprobs[3] = np.nan
    nodes = fleet(SOUND, SOUND, WRONG, broken)
    with pytest.raises(InsufficientData, match="1 log-probabilities of r0-01 are none"):
        estimate("fleet_answers", nodes, "n3")
    assert {each for each in ("n0", "n1", "n2") if estimate("fleet_answers", nodes, each).value} == {"n2"}
    with pytest.raises(InsufficientData, match="can be compared with 1 other nodes"):
        estimate("fleet_answers", fleet(SOUND, SOUND, broken), "n0")


def test_the_order_of_the_nodes_does_not_matter():
    nodes = fleet(WRONG, SOUND, NEAR, SOUND, WRONG)
    turned = dict(reversed(nodes.items()))
    for name in nodes:
        one, other = (estimate("fleet_answers", each, name) for each in (nodes, turned))
        assert (one.value, one.details) == (other.value, other.details)


# -- repeats --------------------------------------------------------------------------------------


def repeated(*rounds):
    """Answers of one canary, a round each."""
    given = [answer(f"r{number}-00", TRUE, tops=tops) for number, tops in enumerate(rounds)]
    return repeats(answers("n0", *given)["answers"])


UNSURE = {10: {1: SURE, 110: SURE - 4.0}}


def test_an_answer_that_the_node_does_not_confirm_is_told():
    found = repeated(None, None, UNSURE, None)
    assert (found.answers, found.tokens, found.allowed) == (4, 80, 2.0)
    (row,) = found.departures
    assert (row.answer, row.index, row.token, row.best) == ("r2-00", 10, 110, 1)


def test_a_fault_in_the_first_round_hides_none_in_the_others():
    worse = {10: {1: SURE, 110: SURE - 9.0}}
    assert [each.answer for each in repeated(worse, None, UNSURE, None).departures] == ["r0-00", "r2-00"]


def test_what_comes_in_every_round_is_the_nodes_own_rounding():
    noisy = {10: {1: SURE, 110: SURE - 2.4}}
    found = repeated(noisy, UNSURE, noisy, noisy)
    assert found.allowed == pytest.approx(2 * 1.9, rel=1e-5)
    assert not found.departures


def test_a_canary_that_was_answered_once_tells_nothing_of_the_nodes_rounding():
    assert [each.answer for each in repeated(UNSURE).departures] == ["r0-00"]


def test_near_ties_may_fall_the_other_way():
    assert not repeated(None, {10: {1: SURE, 110: SURE - 0.45}}, None, None).departures


def test_the_rate_that_so_many_tokens_find():
    assert (1 - found_rate(16384)) ** 16384 == pytest.approx(0.05)
    assert found_rate(16384) == pytest.approx(1.83e-4, rel=1e-2)


def test_the_row_of_repeats():
    given = answers("n0", answer("r0-00", TRUE), answer("r1-00", TRUE, tops=UNSURE))
    judged = metric_named("fleet_repeat").compute(**given)
    assert (judged.value, judged.n, judged.unit) == (1, 2, "answers")
    assert judged.details["rate"] == pytest.approx(found_rate(40))
    assert "does not confirm 1 of 2 answers to canaries; first r1-00" in judged.details["finding"]
