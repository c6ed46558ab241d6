"""By what a server is known: its addresses, its name, and when its process began."""

import pytest

from pytest_gptoss.errors import StatusError
from pytest_gptoss.measure.preflight import answers_to, host_name, process_start


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
