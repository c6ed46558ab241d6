"""One token is forced and told of as if it were not; anything else is noticed."""

import asyncio

import numpy as np
import pytest
from scripted_server import ScriptedServer, events, stream
from wire_transcripts import response_body, transcript

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.forcing import forced_body
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.errors import DialectError

PROMPT, TOKEN = (976, 4853, 19705, 68347), 150000
RECORDED = "completion_allowed_token_ids"


def answered(choice):
    """The recorded answer as a stream whose one choice is changed."""
    whole = response_body("0.32.0", RECORDED)
    recorded = {**whole["choices"][0], "token_ids": None, "prompt_token_ids": None, **choice}
    usage = {**whole, "choices": []}
    return events({"choices": [recorded]}, usage)


def force(**choice):
    async def ask():
        async with ScriptedServer({"POST /v1/completions": stream(answered(choice))}) as server:
            endpoint = Endpoint.parse(server.url, model="gpt-oss-20b")
            async with VllmClient(endpoint, role="npu") as client:
                return await client.force(PROMPT, TOKEN, top=2), server.requests[0].json()

    return asyncio.run(ask())


def table(*entries):
    """The logprobs of one token: the first entry's, with all of them listed."""
    (name, logprob), *_ = entries
    return {"tokens": [name], "token_logprobs": [logprob], "top_logprobs": [dict(entries)]}


def test_the_token_is_told_of_however_unlikely_it_is():
    logprob, body = force()
    assert logprob == -26.03732681274414
    assert body == {"model": "gpt-oss-20b", **forced_body(PROMPT, TOKEN, top=2)}


def test_the_request_is_the_one_that_was_recorded():
    recorded = transcript("0.32.0", RECORDED)["request"]["body"]
    body = forced_body(PROMPT, TOKEN, top=2)
    asked = {name for name in recorded if name not in ("model", "return_token_ids")}
    assert {name: body[name] for name in asked} == {name: recorded[name] for name in asked}


def test_a_server_that_generates_another_token_may_still_list_it():
    logprob, _ = force(logprobs=table(("token_id:5", -0.5), (f"token_id:{TOKEN}", -1.5)))
    assert np.isclose(logprob, -1.5)


def test_a_token_that_is_not_listed_is_not_made_up():
    with pytest.raises(DialectError, match=r"token 5 was generated.*does not heed allowed_token_ids"):
        force(logprobs=table(("token_id:5", -0.5), ("token_id:6", -1.5)))


def test_a_certainty_that_nothing_stands_beside_is_no_measurement():
    with pytest.raises(DialectError, match=r"token 150000 came as 0\.0 without alternatives"):
        force(logprobs=table((f"token_id:{TOKEN}", 0.0)))


def test_a_sure_token_beside_others_is_measured():
    assert force(logprobs=table((f"token_id:{TOKEN}", 0.0), ("token_id:5", -17.5)))[0] == 0.0


def test_a_token_that_is_listed_as_never_coming_is_no_measurement():
    with pytest.raises(DialectError, match=r"token 150000 came as -9999\.0, which stands for NaN"):
        force(logprobs=table(("token_id:5", -0.5), (f"token_id:{TOKEN}", -9999.0)))


def test_log_probabilities_after_forcing_are_refused():
    with pytest.raises(DialectError, match="--logprobs-mode raw_logprobs"):
        force(logprobs=table((f"token_id:{TOKEN}", 0.0), ("token_id:5", -9999.0)))


def test_no_log_probabilities_are_said():
    with pytest.raises(DialectError, match="no log-probabilities by token id"):
        force(logprobs=None)
