"""A server's first words: how long they are waited for, by what it is known, and what else it tells."""

import threading

import anyio
import pytest

from pytest_gptoss.client.endpoint import Endpoint, Secret
from pytest_gptoss.model.errors import RequestTimeout, StatusError, UnknownHost
from pytest_gptoss.scenarios import preflight
from pytest_gptoss.scenarios.preflight import answers_to, host_name, knock, process_start, told_by


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "[::1]", "[::]", "localhost"])
def test_this_machine_has_one_address(host):
    assert answers_to(f"http://{host}:8000") == ("127.0.0.1:8000",)


@pytest.mark.parametrize(
    ("root", "name"),
    [
        ("https://NPU.corp", "npu.corp"), ("http://npu.corp.:8000/v1x", "npu.corp"),
        ("http://localhost:8000", None), ("http://10.0.0.1:8000", None), ("http://[fe80::1]:8000", None),
    ],
)  # fmt: skip
def test_the_name_a_host_is_asked_by(root, name):
    assert host_name(root) == name


class Counting:
    def __init__(self, text):
        self._text = text

    async def metrics_text(self):
        if self._text is None:
            raise StatusError("no /metrics", status=404)
        return self._text


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1.76419e+09\nx 1\n", 1.76419e9),
        ("vllm:num_requests_running 0.0\n", None),
        ("process_start_time_seconds NaN\n", None),
        ("process_start_time_seconds soon\n", None),
        (None, None),
    ],
)
async def test_when_its_process_began(text, start):
    assert await process_start(Counting(text)) == start


class Silent:
    """A server that does not answer, or whose host nobody knows."""

    endpoint = Endpoint.parse("http://npu:8000")

    def __init__(self, error=None):
        self._error = error

    async def models_and_date(self):
        if self._error is not None:
            raise self._error
        await anyio.sleep_forever()


async def _knock(client, patience_s):
    return await knock(client, name="npu", patience_s=patience_s, tell=lambda _: None)


@pytest.mark.asyncio
async def test_one_try_takes_no_longer_than_the_patience(monkeypatch):
    monkeypatch.setattr(preflight, "LEAST_TRY_S", 0.01)
    with pytest.raises(RequestTimeout, match="--gptoss-ready-timeout"):
        await _knock(Silent(), 0.01)


@pytest.mark.asyncio
async def test_a_host_nobody_knows_is_not_waited_for_to_the_end(monkeypatch):
    monkeypatch.setattr(preflight, "NAME_PATIENCE_S", 0.0)
    with pytest.raises(UnknownHost):
        await _knock(Silent(UnknownHost("the host's name is not known")), 1e6)


class Dated:
    endpoint = Endpoint.parse("http://npu:8000")

    def __init__(self, date):
        self._date = date

    async def models_and_date(self):
        return (), self._date


@pytest.mark.asyncio
@pytest.mark.parametrize("date", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "soon", "", None])
async def test_a_date_that_is_none_tells_no_clock(date):
    assert (await _knock(Dated(date), 1.0)).clock_ahead_s is None


class Telling:
    """A development server that repeats the key it was started with."""

    async def server_info(self):
        return {"vllm_config": {"model_config": {"dtype": "sk-secret"}}}

    def scrubbed(self, text):
        return Secret("sk-secret").scrub(text)


@pytest.mark.asyncio
async def test_what_is_told_holds_no_key(tmp_path):
    log = tmp_path / "npu.log"
    log.write_text("Initializing with config: quantization='sk-secret', dtype=float16\n")
    found = {fact.name: fact.value for fact in await told_by(Telling(), log)}
    assert found == {"dtype": "***", "quantization": "***"}
    assert await told_by(Telling(), tmp_path / "gone.log")


@pytest.mark.asyncio
async def test_a_long_log_does_not_hold_up_the_loop(tmp_path, monkeypatch):
    readers = []
    monkeypatch.setattr(
        preflight, "facts_of_log", lambda path, shown: readers.append(threading.current_thread()) or ()
    )
    await told_by(Telling(), tmp_path / "npu.log")
    assert readers
    assert threading.current_thread() not in readers
