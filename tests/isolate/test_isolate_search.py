"""The search on simulated servers: who is guilty is known, and how many starts it takes."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.isolate.search import EAGER, isolate, narrowed

EIGHT = tuple(f"--setting-{letter}" for letter in "abcdefgh")


class Server:
    """Starts of a simulated server; ``outcome`` is made of the changes."""

    def __init__(self, outcome):
        self._outcome = outcome
        self.starts = []

    def __call__(self, stage, changes):
        self.starts.append((stage, changes))
        return self._outcome(frozenset(changes))


def healed_by(*guilty):
    return Server(lambda changes: "passes" if set(guilty) <= changes else "fails")


@pytest.mark.parametrize("guilty", EIGHT)
def test_the_guilty_one_of_eight_is_named_in_twelve_starts(guilty):
    server = healed_by(guilty)
    found = isolate(server, EIGHT, most=12)
    assert (found.verdict, found.changes, found.eager_heals) == ("found", (guilty,), False)
    assert len(server.starts) <= 12


@given(st.sets(st.sampled_from(EIGHT), min_size=1, max_size=3))
def test_a_set_that_only_heals_together_is_found_whole(guilty):
    found = isolate(healed_by(*guilty), EIGHT, most=100)
    assert (found.verdict, set(found.changes)) == ("found", guilty)


@given(st.sets(st.sampled_from(EIGHT), min_size=1), st.sets(st.sampled_from(EIGHT), min_size=1))
def test_what_is_found_heals_and_no_part_of_it_does(one, other):
    def heals(changes):
        return one <= set(changes) or other <= set(changes)

    found = narrowed(EIGHT, heals)
    assert heals(found)
    assert not any(heals([each for each in found if each != left_out]) for left_out in found)


def test_another_failure_in_its_place_is_no_healing():
    def outcome(changes):
        if EIGHT[6] in changes and len(changes) > 1:
            return "other"  # does not start with some other change beside it
        return "passes" if EIGHT[1] in changes else "fails"

    assert isolate(Server(outcome), EIGHT, most=40).changes == (EIGHT[1],)
    assert isolate(Server(outcome), EIGHT[:6], most=12).changes == (EIGHT[1],)


@pytest.mark.parametrize("refused", [0, 3, 7])
@pytest.mark.parametrize("guilty", [1, 2, 6])
def test_a_flag_that_the_server_refuses_does_not_hide_the_guilty_one(refused, guilty):
    def outcome(changes):
        if EIGHT[refused] in changes:
            return "other"
        return "passes" if EIGHT[guilty] in changes else "fails"

    server = Server(outcome)
    assert isolate(server, EIGHT, most=12).changes == (EIGHT[guilty],)
    assert len(server.starts) <= 12


def test_graph_capture_is_named_where_nothing_else_heals():
    found = isolate(healed_by(EAGER), EIGHT, most=12)
    assert (found.verdict, found.changes, found.eager_heals) == ("found", (EAGER,), True)


def test_a_line_that_is_eager_already_skips_that_stage():
    server = healed_by(EIGHT[0])
    found = isolate(server, EIGHT, most=12, try_eager=False)
    assert (found.changes, found.eager_heals) == ((EIGHT[0],), None)
    assert "eager" not in {stage for stage, _ in server.starts}


def test_what_nothing_heals_is_not_found():
    found = isolate(Server(lambda _: "fails"), EIGHT, most=12)
    assert (found.verdict, found.stage, found.why) == ("not found", "narrow", "nothing heals")


def test_a_line_that_does_not_fail_is_not_found():
    server = Server(lambda _: "passes")
    assert isolate(server, EIGHT, most=12).why == "passes at first"
    assert isolate(Server(lambda _: "other"), EIGHT, most=12).why == "other failure"


def test_another_failure_in_a_later_start_is_not_called_random():
    turn = count()
    found = isolate(Server(lambda _: "other" if next(turn) else "fails"), EIGHT, most=12)
    assert (found.verdict, found.why) == ("not found", "other failure")


def test_starts_are_counted():
    server = healed_by(EIGHT[7])
    found = isolate(server, EIGHT, most=5)
    assert (found.verdict, found.why, len(server.starts)) == ("not found", "out of starts", 5)


@given(st.lists(st.booleans(), min_size=30, max_size=30))
def test_what_contradicts_itself_is_never_blamed_on_a_setting_that_was_not_confirmed(flips):
    turn = count()
    server = Server(lambda _: "fails" if flips[next(turn)] else "passes")
    found = isolate(server, EIGHT, most=30)
    if found.verdict == "found":
        (_, with_it), (_, without) = server.starts[-2:]
        assert (with_it, without) == (found.changes, ())
        assert flips[len(server.starts) - 2 : len(server.starts)] == [False, True]


@pytest.mark.parametrize("first", [True, False])
def test_every_second_start_is_flaky(first):
    turn = count(int(first))
    found = isolate(Server(lambda _: "fails" if next(turn) % 2 else "passes"), EIGHT, most=12)
    assert (found.verdict, found.stage) == ("flaky", "reproduce")


def test_a_start_whose_probes_differ_is_flaky():
    found = isolate(Server(lambda changes: "mixed" if changes else "fails"), EIGHT, most=12)
    assert (found.verdict, found.stage) == ("flaky", "eager")
