"""Very many next tokens' log-probabilities: what the answer must hold, and what is refused."""

import numpy as np
import pytest

from pytest_gptoss.client.next_logprobs import next_logprobs, next_logprobs_body
from pytest_gptoss.model.errors import DialectError


def _answer(table):
    return {"choices": [{"logprobs": {"top_logprobs": [table]}}]}


def test_the_request_asks_for_one_token_by_id():
    body = next_logprobs_body((1, 2), 4096, "salt")
    assert (body["prompt"], body["max_tokens"], body["logprobs"]) == ([1, 2], 1, 4096)
    assert body["return_tokens_as_token_ids"] is True
    assert body["cache_salt"] == "salt"


def test_ids_and_logprobs_come_in_the_order_of_the_answer():
    found = next_logprobs(_answer({"token_id:7": -0.5, "token_id:3": -2}))
    np.testing.assert_array_equal(found.ids, [7, 3])
    np.testing.assert_array_equal(found.logprobs, [-0.5, -2.0])


def test_masked_tokens_are_left_out():
    found = next_logprobs(_answer({"token_id:7": -0.5, "token_id:3": -9999.0}))
    assert found.ids.tolist() == [7]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "holds no top_logprobs"),
        ({"choices": []}, "holds no top_logprobs"),
        ({"choices": [{"logprobs": None}]}, "holds no top_logprobs"),
        (_answer({}), "holds no top_logprobs"),
        (_answer([1]), "holds no top_logprobs"),
        (_answer({"Hello": -1.0}), "names a token 'Hello': expected token_id:N"),
        (_answer({"token_id:99999999999": -1.0}), "expected token_id:N"),
        (_answer({"token_id:1": float("nan")}), "top_logprobs at position 0 is nan"),
        (_answer({"token_id:1": None}), "top_logprobs at position 0 is None"),
        (_answer({"token_id:1": "x"}), "hold something that is no number"),
        (_answer({"token_id:1": 3.0}), "never above 0"),
    ],
)
def test_other_answers_are_refused(answer, said):
    with pytest.raises(DialectError, match=said):
        next_logprobs(answer)
