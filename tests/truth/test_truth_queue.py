"""The ground-truth server's queue: whom it serves when, and what it says of that."""

import json
import socket
import threading
import time
import uuid
from urllib.parse import urlsplit

import pytest

from pytest_gptoss.scenarios.truth import truth_server
from pytest_gptoss.truth.queue import Queue, QueueLaw
from pytest_gptoss.truth.queue_law import waits

MS = 10**6
LAST_CHUNK = b"0\r\n\r\n"


def places(law, arrivals_ms):
    queue = Queue(law)
    return [queue.enter(each * MS) for each in arrivals_ms]


def starts(found):
    return [each.start_ns / MS for each in found]


def test_one_slot_serves_in_turn():
    assert starts(places(QueueLaw(10), [100, 101, 130])) == [100, 110, 130]


def test_several_slots_serve_side_by_side():
    assert starts(places(QueueLaw(10, slots=2), [100, 101, 102, 103])) == [100, 101, 110, 111]


@pytest.mark.parametrize("slots", [1, 3])
def test_the_places_are_those_of_the_recursion(slots):
    arrivals = [each * each % 97 + 7 * each for each in range(200)]
    arrivals.sort()
    found = places(QueueLaw(20 * slots, slots, exponential=True, seed=3), arrivals)
    expected = waits([each * MS for each in arrivals], [each.service_ns for each in found], slots)
    waited = [each.start_ns - arrival * MS for each, arrival in zip(found, arrivals, strict=True)]
    assert waited == expected


def test_exponential_times_have_the_mean_and_repeat_with_the_seed():
    law = QueueLaw(10, slots=5, exponential=True, seed=1)
    found = [each.service_ns for each in places(law, [0] * 20_000)]
    assert sum(found) / len(found) == pytest.approx(10 * MS, rel=0.03)
    assert found == [each.service_ns for each in places(law, [0] * 20_000)]
    assert found[:9] != [each.service_ns for each in places(QueueLaw(10, exponential=True, seed=2), [0] * 9)]


def test_tokens_are_spread_over_the_service():
    only = places(QueueLaw(10), [100])[0]
    assert [only.moment(share) / MS for share in (0, 0.25, 1)] == [100, 102.5, 110]


def test_a_stall_stops_everything_once():
    law = QueueLaw(10, stall_at_ms=15, stall_ms=1000)
    found = places(law, [100, 110, 130, 2000])
    # The second is in service when the server stops, the third comes while it stands, the last long after.
    assert [each.service_ns / MS for each in found] == [10, 1010, 10, 10]
    assert starts(found) == [100, 110, 1120, 2000]
    assert [found[1].moment(share) / MS for share in (0.4, 0.6)] == [114, 1116]


def test_who_comes_to_an_idle_server_that_stands_waits_for_its_end():
    found = places(QueueLaw(10, stall_at_ms=50, stall_ms=1000), [0, 550])
    assert found[1].service_ns / MS == 510
    assert found[1].moment(0) / MS == found[1].moment(0.5) / MS - 5 == 1050


# -- the running server -------------------------------------------------------------------------


def ask(server, name, tokens=3):
    """One answer, as the moments at which its bytes came."""
    body = json.dumps({"stream": True, "max_tokens": tokens}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nX-Request-Id: {name}\r\nContent-Length: {len(body)}\r\n\r\n"
    parts = urlsplit(server.endpoint.root)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        received = b""
        while not received.endswith(LAST_CHUNK):
            received += connection.recv(2**16)
        return time.monotonic_ns()


def ask_together(server, count):
    names = [uuid.uuid4().hex for _ in range(count)]
    threads = [threading.Thread(target=ask, args=(server, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return server.all_stamps()


def test_requests_wait_for_a_slot_and_the_stamps_say_so():
    with truth_server("--service-ms=200", "--slots=2", "--first-share=0.5") as server:
        for _ in range(2):
            found = ask_together(server, 5)
            expected = waits([each.read_ns for each in found], [each.service_ns for each in found], slots=2)
            assert [each.start_ns - each.read_ns for each in found] == expected
            assert max(expected) > 50 * MS
            for each in found:
                assert each.service_ns == 200 * MS
                due = [each.start_ns + share * each.service_ns for share in (0.5, 0.75, 1)]
                # A millisecond is a tick of uvloop's timers; late is what a busy machine is.
                assert all(stamp - when >= -MS for stamp, when in zip(each.token_ns, due, strict=True))
                assert each.end_ns >= each.start_ns + each.service_ns - MS
            # An empty queue again, the same times of service.
            server.forget()


def test_a_queue_that_was_forgotten_draws_the_same_times():
    with truth_server("--service-ms=3", "--service=exponential", "--service-seed=4") as server:
        first = [each.service_ns for each in ask_together(server, 4)]
        server.forget()
        assert [each.service_ns for each in ask_together(server, 4)] == first


def test_without_a_queue_there_is_no_service():
    with truth_server("--first-token-ms=1", "--interval-ms=1") as server:
        ask(server, "one")
        assert (server.all_stamps()[0].start_ns, server.all_stamps()[0].service_ns) == (None, None)
