"""The open prompts as two devices once answered them: forks that rounding explains.

Whether two processors fork there is up to their rounding, so the answers are stored (``record_forks.py``).
"""

import json
from pathlib import Path

import numpy as np
import pytest

from pytest_gptoss.judge.metrics.rouge import rouge_l
from pytest_gptoss.judge.metrics.tokens import token_match_rate
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.judge.verdicts import judge
from pytest_gptoss.scenarios.codec import decode
from pytest_gptoss.scenarios.prompts import load_shipped

ROWS = {"precision.token_match_rate": token_match_rate, "precision.rouge_l": rouge_l}
PROMPTS = load_shipped("embedded").prompts
OPEN = {prompt.id for prompt in PROMPTS if "open" in prompt.tags}
NUMBERS = {"logprobs": np.float64, "top_ids": np.int32, "top_logprobs": np.float32}


@pytest.fixture(scope="module")
def recorded():
    """What the rows take: the answers of both devices and the NPU's scores of the baseline's."""
    stored = json.loads((Path(__file__).parent / "forks.json").read_text("utf-8"))
    return {name: read(document) for name, document in stored.items()}


def read(document):
    arrays = {name: np.array(rows, NUMBERS[name]) for name, rows in document["arrays"].items()}
    return decode({**document, "arrays": sorted(arrays)}, arrays)


@pytest.mark.parametrize("row", ROWS)
def test_free_is_below_one_and_forced_within_its_limit(recorded, row):
    threshold = load_profile("embedded").thresholds[row]
    estimate = ROWS[row](**recorded)
    beside = estimate.details["beside"]
    assert estimate.value < 1
    assert beside["statistic"] == "forced"
    assert threshold.forced_limit <= beside["value"] < 1
    forced = load_profile("embedded", forced=True).thresholds[row]
    assert judge(forced, "npu", ROWS[row](**recorded, statistic="forced")).status == "PASS"


def test_each_open_prompt_forks_at_a_near_tie_and_no_other(recorded):
    details = token_match_rate(**recorded).details
    assert {each["prompt_id"] for each in details["prompts"] if each["fork"]} == OPEN
    assert details["kinds"] == {"near tie": len(OPEN)}


def test_these_few_alone_fail_and_are_told_to_compare_forced(recorded):
    row = load_profile("embedded").thresholds["precision.token_match_rate"]
    verdict = judge(row, "npu", token_match_rate(**recorded))
    assert verdict.status == "FAIL"
    assert "every fork is a near tie" in verdict.reason
    assert "--gptoss-compare forced" in verdict.reason


def test_the_whole_set_keeps_the_guides_limits_when_all_of_them_fork(recorded):
    limits = load_profile("embedded").thresholds
    scores = rouge_l(**recorded).details["prompts"]
    lost = [1 - scores[each] for each in OPEN]
    assert len(OPEN) == 3
    assert 0 < min(lost) <= max(lost) <= 0.5
    assert 1 - len(OPEN) / len(PROMPTS) > limits["precision.token_match_rate"].limit
    assert 1 - sum(lost) / len(PROMPTS) > limits["precision.rouge_l"].limit
