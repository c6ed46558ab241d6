"""Hanging up in the middle of a long answer: what late or joined delivery must not be mistaken for."""

import asyncio

import pytest

from pytest_gptoss.model.errors import DialectError, RequestError
from pytest_gptoss.scenarios import abort_trial
from pytest_gptoss.scenarios.abort_trial import ENOUGH, AbortTrial

pytestmark = pytest.mark.asyncio

ROOM = 100


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(abort_trial, "PATIENCE_S", 0.0)
    monkeypatch.setattr(abort_trial, "POLL_S", 0.0)


class Scripted:
    """A client whose counters tell (running, generated) in turn; ``streamed`` tokens come at once."""

    def __init__(self, counts, *, streamed=0, ends=None):
        self._counts = iter(counts)
        self._streamed, self._ends = streamed, ends
        self.started = 0

    async def metrics_text(self):
        await asyncio.sleep(0)
        running, generated = next(self._counts)
        told = "" if generated is None else f"vllm:generation_tokens_total {generated}.0\n"
        return f"vllm:num_requests_running {running}.0\n{told}"

    def scrubbed(self, text):
        return text

    async def run_on(self, token_ids, *, max_tokens, arrived):
        self.started += 1
        assert max_tokens == ROOM
        for count in range(1, self._streamed + 1):
            arrived(count)
        if self._ends is None:
            await asyncio.Event().wait()
        elif self._ends is not True:
            raise self._ends


async def trace_of(client):
    return await AbortTrial(client, context=ROOM + len(abort_trial.PROMPT)).ask()


class Paced:
    """A client whose counters tell running requests alone; its stream brings a token each millisecond."""

    def __init__(self, *, keeps):
        self._keeps = keeps
        self._running = 0

    async def metrics_text(self):
        await asyncio.sleep(0)
        return f"vllm:num_requests_running {self._running}.0\n"

    def scrubbed(self, text):
        return text

    async def run_on(self, token_ids, *, max_tokens, arrived):
        self._running = 1
        try:
            for count in range(1, max_tokens + 1):
                await asyncio.sleep(0.001)
                arrived(count)
        finally:
            self._running = int(self._keeps)


@pytest.mark.parametrize("keeps", [False, True])
async def test_without_a_count_of_tokens_the_pace_of_the_stream_must_do(keeps):
    trace = await trace_of(Paced(keeps=keeps))
    assert (trace.before, trace.during, trace.left, trace.trials) == (0, 1, int(keeps), 1)
    assert trace.generated is None
    assert trace.natural_s > 0


async def test_the_counters_show_what_the_stream_holds_back():
    counts = [(0, 50), (0, 50), (1, 50), (1, 70), (0, 95)]
    client = Scripted(counts)  # not one event arrives
    trace = await trace_of(client)
    assert (trace.during, trace.generated, trace.room) == (1, 45, ROOM)
    assert trace.says_nothing is None
    assert client.started == 1


async def test_an_answer_that_came_in_one_burst_is_tried_again():
    whole = [(0, 0), (1, ROOM), (0, ROOM)]  # ended before the client could hang up
    again = [(0, ROOM), (1, ROOM + 10), (0, ROOM + 20)]
    client = Scripted([*whole, *again], streamed=0)
    trace = await trace_of(client)
    assert (client.started, trace.trials, trace.generated) == (2, 2, 20)
    assert trace.says_nothing is None


async def test_an_answer_that_ended_before_it_was_seen_running_is_tried_again():
    client = Scripted([(0, 0), (0, ROOM), (0, ROOM)] * abort_trial.TRIALS, ends=True)
    trace = await trace_of(client)
    assert (client.started, trace.trials, trace.says_nothing) == (
        abort_trial.TRIALS,
        abort_trial.TRIALS,
        "unseen",
    )


async def test_a_slot_that_is_kept_is_not_tried_again():
    client = Scripted([(0, 0), (1, 20), (1, 60)])
    trace = await trace_of(client)
    assert (client.started, trace.left, trace.says_nothing) == (1, 1, None)


async def test_a_stream_that_no_count_shows_ends_the_watch():
    client = Scripted([(3, None)] * 4 * abort_trial.TRIALS, streamed=ENOUGH)
    trace = await trace_of(client)
    assert trace.says_nothing == "unseen"


async def test_what_ends_the_request_early_is_raised():
    with pytest.raises(RequestError, match="refused"):
        await trace_of(Scripted([(0, 0), (0, 0)], ends=RequestError("refused")))


async def test_a_page_without_the_count_is_named():
    class Bare(Scripted):
        async def metrics_text(self):
            return "vllm:generation_tokens_total 1\n"

    with pytest.raises(DialectError, match="num_requests_running"):
        await trace_of(Bare([]))


class Router(Scripted):
    """A client whose ``/metrics`` is a router's: its count of running requests does not move."""

    def __init__(self, text):
        super().__init__([], streamed=ENOUGH)
        self._text = text

    async def metrics_text(self):
        await asyncio.sleep(0)
        return self._text

    def scrubbed(self, text):
        return text.replace("sk-secret", "***")


async def test_a_count_that_does_not_move_is_kept_in_the_servers_words():
    text = "# TYPE x gauge\n" + "\n".join(
        f'vllm:num_requests_running{{server="http://10.0.0.{n}:8000",key="sk-secret"}} {n}' for n in (0, 1)
    )
    trace = await trace_of(Router(text))
    assert (trace.before, trace.during) == (1, 1)
    assert trace.said == (
        'vllm:num_requests_running{server="http://10.0.0.0:8000",key="***"} 0; '
        'vllm:num_requests_running{server="http://10.0.0.1:8000",key="***"} 1'
    )


async def test_counters_of_another_name_are_named():
    text = 'vllm:router_requests_total{a="b"} 3\nvllm:current_qps 2.5\npython_info 1\nprocess_x 1\n'
    with pytest.raises(DialectError, match=r"vllm:router_requests_total, vllm:current_qps, python_info: a r"):
        await trace_of(Router(text))
