"""A server that is started anew in the middle of a run, and two replicas, as a user meets them."""

import itertools

import pytest
from altering_proxy import Refusal, altering_proxy

pytest_plugins = ["pytester"]

FIRST, SECOND = 1795355900.25, 1795359500.5
ROWS = ("-k", "smoke_hi or finish_reasons")
WHILE_PROBING, AROUND_THE_SMOKE_QUESTIONS = 3, 2
"""Times that /metrics is asked for."""


def started(starts):
    """What a proxy does to tell these starts, one after the other."""

    def request(path, body):
        if path == "/metrics":
            raise Refusal(200, "text/plain", f"vllm:x 1\nprocess_start_time_seconds {next(starts)}\n")
        return body

    return request


@pytest.fixture
def servers_of(report):
    return lambda directory="gptoss-report": report(directory=directory)["measurements"]["servers"]["changed"]


def test_a_restart_is_told_and_a_replay_tells_it_again(accept, embedded_pair, servers_of, valid_report):
    earlier = itertools.repeat(FIRST, WHILE_PROBING + AROUND_THE_SMOKE_QUESTIONS)
    starts = itertools.chain(earlier, itertools.repeat(SECOND))
    with altering_proxy(embedded_pair["npu"], request=started(starts)) as npu:
        result = accept(f"--npu-url={npu}", *ROWS)
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    (change,) = servers_of()
    assert (change["kind"], change["sides"]) == ("restart", [["preflight"], ["capability"]])
    result.stdout.fnmatch_lines(["*More than one server: npu: its server changed during*"])
    valid_report("acceptance.json")
    again = accept("--gptoss-replay=gptoss-report", "--gptoss-report=again", *ROWS)
    assert again.ret == pytest.ExitCode.OK, again.stdout.str()
    assert servers_of("again") == [change]


def test_two_replicas_stay_green_and_are_told(accept, embedded_pair, servers_of):
    with altering_proxy(embedded_pair["npu"], request=started(itertools.cycle((FIRST, SECOND)))) as npu:
        result = accept(f"--npu-url={npu}", *ROWS)
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    assert [each["kind"] for each in servers_of()] == ["replicas"]
