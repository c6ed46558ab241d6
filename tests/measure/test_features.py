"""Trying a feature: what a server's habits must not be mistaken for."""

import pytest

from pytest_gptoss.errors import ConnectError, StatusError
from pytest_gptoss.measure.features import FeatureTrial
from pytest_gptoss.measure.prompts import prompt_set
from pytest_gptoss.records import Feature

pytestmark = pytest.mark.asyncio


class Server:
    """A client whose server refuses what is bad and then breaks off so many connections."""

    def __init__(self, breaks):
        self.breaks, self.left = breaks, 0

    async def send(self, path, body):
        self.left = self.breaks
        raise StatusError("refused", status=400)

    async def chat(self, prompt, **options):
        if self.left:
            self.left -= 1
            raise ConnectError("the connection was closed before an answer came")


@pytest.mark.parametrize(("breaks", "alive"), [(0, True), (1, True), (2, False)])
async def test_a_connection_closed_with_a_refusal_is_no_death(breaks, alive):
    trial = FeatureTrial(
        Feature("npu", "bad-requests"), Server(breaks), prompt_set("none", []), max_tokens=8, context=None
    )
    found = await trial.ask("negative-temperature")
    assert (found.status, found.alive) == (400, alive)
