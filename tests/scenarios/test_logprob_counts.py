"""How many log-probabilities are asked for, and which answers do not do."""

from dataclasses import replace

import numpy as np
import pytest

from pytest_gptoss.model.lm_head import read_lm_head
from pytest_gptoss.model.resources import fixture
from pytest_gptoss.scenarios.logprob_counts import logprobs_to_ask, why_too_few_logprobs, why_unknown_ids


@pytest.mark.parametrize(("hidden", "asked"), [(128, 4096), (2880, 4096), (4096, 5735)])
def test_how_many_are_asked_for(hidden, asked):
    assert logprobs_to_ask(hidden) == asked


def test_too_few_log_probabilities():
    assert why_too_few_logprobs(3456, 2880) is None
    said = why_too_few_logprobs(20, 2880)
    assert said == (
        "the server gives 20 log-probabilities a position, a hidden state of size 2880 needs 3456: serve "
        "with --max-logprobs 4096"
    )


def test_tokens_that_the_head_lacks():
    head = replace(read_lm_head(fixture("tiny-gpt-oss")), vocabulary=100)
    assert why_unknown_ids(np.array([0, 99]), head) is None
    assert why_unknown_ids(np.array([], dtype=int), head) is None
    assert "log-probabilities of token 100, lm_head.weight has 100 rows" in why_unknown_ids(
        np.array([3, 100]), head
    )
    assert "of token -1" in why_unknown_ids(np.array([-1, 3]), head)
