"""Acceptance runs in processes of their own, as a user starts them."""

from __future__ import annotations

import json

import pytest

from pytest_gptoss.resources import acceptance_tests, fixture

FEW = 6


@pytest.fixture
def few_prompts(pytester):
    """A prompts file with the first few prompts of the embedded set, some of them past 128 tokens."""
    prompts = json.loads(fixture("prompts", "embedded.json").read_text("utf-8"))
    longer = [each for each in prompts if len(json.dumps(each)) > 1000][:1]
    path = pytester.path / "few.json"
    path.write_text(json.dumps([*prompts[: FEW - len(longer)], *longer]), "utf-8")
    return path


@pytest.fixture
def accept(pytester, few_prompts):
    """Run the acceptance tests on a few prompts under the embedded profile."""

    def run(*arguments, prompts=few_prompts):
        chosen = ["--gptoss-profile=embedded"]
        if prompts is not None:
            chosen.append(f"--gptoss-prompts={prompts}")
        return pytester.runpytest_subprocess(
            str(acceptance_tests()), "-p", "no:cacheprovider", *chosen, *arguments, timeout=280
        )

    return run


@pytest.fixture
def report(pytester):
    """A report of the run, as JSON."""
    return lambda name="acceptance.json", directory="gptoss-report": json.loads(
        (pytester.path / directory / name).read_text("utf-8")
    )


@pytest.fixture
def verdicts(report):
    """Threshold id -> verdict of the run's report."""
    return lambda directory="gptoss-report": {
        row["threshold_id"]: row["verdict"] for row in report(directory=directory)["verdicts"]
    }
