"""Drift measured on real servers: a token is forced exactly, and positions gone wrong stand out."""

import asyncio

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.judge.metrics.drift import position_drift
from pytest_gptoss.model.inputs import NeedleTask, TokenSequence
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.scenarios.drift import DriftPoints, positions
from pytest_gptoss.scenarios.kinds import Drift

LENGTH = 4096


def asking(url, ask):
    async def run():
        async with VllmClient(Endpoint.parse(url), role="npu") as client:
            return await ask(client)

    return asyncio.run(run())


def drifting(url, device):
    scenario = Drift(device, 0, LENGTH)

    async def ask(client):
        points = DriftPoints(client, task=NeedleTask(), length=LENGTH, top=20)
        return tuple([await points.ask(*place) for place in positions(scenario)])

    return Measurement(scenario.id, device, asking(url, ask))


def test_a_forced_token_has_the_score_of_teacher_forcing(embedded_pair):
    async def both(client):
        ids = await client.tokenize("The old dog walks near the river. At noon the baker sings.")
        scored = await client.score(TokenSequence("text", ids))
        return scored.logprobs, [await client.force(ids[:place], ids[place]) for place in range(1, len(ids))]

    scores, forced = asking(embedded_pair["gpu"], both)
    assert abs(scores - forced).max() < 1e-4
    assert scores.min() < -1


def test_wrong_positions_drift_farther_than_rounding(embedded_pair, reference_server):
    gpu = drifting(embedded_pair["gpu"], "gpu")
    sound = position_drift(npu_4096=drifting(embedded_pair["npu"], "npu"), gpu_4096=gpu)
    npu = reference_server(defect="no-yarn", dtype="bfloat16")
    wrong = position_drift(npu_4096=drifting(npu.url, "npu"), gpu_4096=gpu)
    assert not sound.details["grows"]
    assert wrong.details["far"] > 2 * sound.details["far"]
    assert wrong.details["far"] > wrong.details["near"]
