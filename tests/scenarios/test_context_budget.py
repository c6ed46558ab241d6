"""What context a scenario needs: prompt and answer, never more than it takes."""

import pytest

from pytest_gptoss.model.inputs import LoadShape, Message, Prompt, TokenSequence
from pytest_gptoss.scenarios.context_budget import fewest_tokens
from pytest_gptoss.scenarios.kinds import (
    Chunked,
    Drift,
    Feature,
    Forced,
    Greedy,
    Hidden,
    Load,
    Needle,
    Rendered,
)
from pytest_gptoss.scenarios.prompts import load_shipped, prompt_set
from pytest_gptoss.scenarios.workload import Workload

SHORT = Prompt("short", (Message("user", "x" * 50),))
LONG = Prompt("long", (Message("user", "x" * 5000),), max_tokens=40)
WORK = Workload(
    prompt_sets={"precision": prompt_set("precision", [SHORT, LONG]), "features": load_shipped("features")},
    corpus=(TokenSequence("a", tuple(range(300))), TokenSequence("b", tuple(range(3000)))),
    corpus_sha256="",
    max_tokens=256,
    top_logprobs=20,
    max_scored_tokens=2048,
    levels={"c04": LoadShape(4, 8, 1024, 512)},
)
FEATURE = max(map(fewest_tokens, WORK.prompt_sets["features"].prompts))


@pytest.mark.parametrize(
    ("scenario", "needed"),
    [
        (Greedy("npu"), 60 + 1000 + 40),
        (Greedy("npu", limit=1), 60 + 10 + 256),
        (Rendered("npu"), 60 + 1000 + 1),
        (Forced("npu"), 301),
        (Forced("npu", "gpu", outputs=Greedy("gpu")), 60 + 1000 + 40),
        (Hidden("npu"), 3001),
        (Needle("npu", 0.5, 2048), 2048 + 1024),
        (Load("npu", "c04"), 1536),
        (Load("npu", "c09"), 0),
        (Drift("npu", 0, 1024), 0),
        (Chunked("npu", 4), 0),
        (Feature("npu", "whole"), FEATURE + 256),
        (Feature("npu", "cut"), FEATURE + 4),
        (Feature("npu", "tools-auto"), 60 + 512),
        (Feature("npu", "tags"), 60 + 256),
        (Feature("npu", "abort"), 0),
    ],
)
def test_a_scenario_needs_its_prompt_and_its_answer(scenario, needed):
    assert scenario.context_needed(WORK) == needed
