"""Acceptance runs in processes of their own, as a user starts them."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from small_load import SMALL_LOAD

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.model.resources import acceptance_tests, fixture
from pytest_gptoss.run.engine import AcceptanceRun

FEW = 6
HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True)
def no_hypothesis(request, monkeypatch):
    """Keep hypothesis out of the processes that tests start: its import takes longer than pytest's own."""
    if "pytester" in request.fixturenames:
        request.getfixturevalue("pytester")  # it removes the variable where it begins
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")


@pytest.fixture
def few_prompts(pytester):
    """A prompts file with the first few prompts of the embedded set, some past 128 tokens; short answers."""
    prompts = json.loads(fixture("prompts", "embedded.json").read_text("utf-8"))
    longer = [each for each in prompts if len(json.dumps(each)) > 1000][:1]
    path = pytester.path / "few.json"
    chosen = [{**each, "max_tokens": 24} for each in (*prompts[: FEW - len(longer)], *longer)]
    path.write_text(json.dumps(chosen), "utf-8")
    return path


@pytest.fixture(scope="module")
def few_texts():
    """Options that leave a few texts of the corpus, in the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", HERE, prepend=os.pathsep)
        yield ("-p", "few_texts")


@pytest.fixture
def urls(embedded_pair):
    """Options that name the embedded pair."""
    return [f"--npu-url={embedded_pair['npu']}", f"--gpu-url={embedded_pair['gpu']}"]


@pytest.fixture
def accept(pytester, few_prompts, few_texts):
    """Run the acceptance tests on a few prompts and texts, embedded profile; load only where asked for."""

    def run(*arguments, prompts=few_prompts, texts=few_texts):
        chosen = ["--gptoss-profile=embedded", "-m", "not performance and not stress", *texts]
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
def valid_report(report):
    """A report of the run that keeps the schema of its name."""

    def read(name):
        kind = name.removesuffix(".json").replace("_", "-")
        schema = files("pytest_gptoss").joinpath("report", "schemas", f"{kind}-1.schema.json")
        document = report(name)
        jsonschema.validate(document, json.loads(schema.read_text("utf-8")))
        return document

    return read


@pytest.fixture
def details(report):
    """Threshold id -> the row of the report."""
    return lambda: {row["threshold_id"]: row for row in report()["verdicts"]}


@pytest.fixture
def verdicts(report):
    """Threshold id -> verdict of the run's report."""
    return lambda directory="gptoss-report": {
        row["threshold_id"]: row["verdict"] for row in report(directory=directory)["verdicts"]
    }


@pytest.fixture
def under_load(tmp_path):
    """A run that puts very little load on the devices given by their URLs; ``prompts``: a file of its own."""

    runs = []

    def start(task=SMALL_LOAD, prompts=None, **urls):
        devices = tuple(DeviceSettings(role, role, url) for role, url in urls.items())
        settings = Settings(
            devices=devices, profile="embedded", load=task, prompts=prompts, report=tmp_path / "report"
        )
        run = AcceptanceRun(settings, make_plan(settings), tell=lambda _: None)
        runs.append(run)
        run.begin()
        return run

    yield start
    for run in runs:
        run.close()
