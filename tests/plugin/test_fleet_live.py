"""Fleets of real servers: the odd node is named at its row, and the others are green."""

import json
import os
import socket
import time
from contextlib import ExitStack

import pytest
from starting import output_after_ctrl_c, started_as_a_terminal_does

from pytest_gptoss.model.resources import acceptance_tests, fixture
from pytest_gptoss.scenarios.truth import truth_server

pytest_plugins = ["pytester"]

ROWS = {f"fleet.{row}" for row in ("answers", "logprobs", "ttft", "tpot", "repeat", "configuration")}
SPEED = {"fleet.ttft", "fleet.tpot"}
FIRST_MS, INTERVAL_MS = 500, 80
"""So slow that what a busy machine adds is little beside it."""


@pytest.fixture
def dead():
    """An address where nobody answers: the port is taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def options(pytester):
    """Write a fleet's file and a few prompts whose answers have so many tokens; the options of such a run."""

    def write(tokens, urls, *, canaries, repeats):
        tables = (f'[{name}]\nurl = "{url}"\n' for name, url in urls.items())
        (pytester.path / "fleet.toml").write_text("\n".join(tables), "utf-8")
        prompts = json.loads(fixture("prompts", "embedded.json").read_text("utf-8"))[:canaries]
        few = [{**each, "max_tokens": tokens} for each in prompts]
        (pytester.path / "few.json").write_text(json.dumps(few), "utf-8")
        return (
            "--gptoss-fleet=fleet.toml", f"--gptoss-fleet-canaries={canaries}",
            f"--gptoss-fleet-repeats={repeats}", "--gptoss-prompts=few.json", "--gptoss-profile=embedded",
            "-m", "fleet", "--gptoss-ready-timeout=1",
        )  # fmt: skip

    return write


@pytest.fixture
def truths():
    """Start ground-truth servers by the milliseconds between their tokens; their URLs."""
    with ExitStack() as stack:

        def start(*intervals):
            common = ("--prompt-ids", f"--first-token-ms={FIRST_MS}")
            servers = [
                stack.enter_context(truth_server(*common, f"--interval-ms={each}")) for each in intervals
            ]
            return [each.endpoint.root for each in servers]

        yield start


@pytest.fixture
def judged(pytester, report):
    """Run the acceptance tests with options; (node, row) -> verdict of the family's rows."""

    def run(*given):
        result = pytester.runpytest_subprocess(
            str(acceptance_tests()), "-p", "no:cacheprovider", *given, timeout=280
        )
        assert result.ret == pytest.ExitCode.TESTS_FAILED, result.stdout.str()
        rows = [row for row in report()["verdicts"] if row["family"] == "fleet"]
        return {(row["npu"], row["threshold_id"]): row["verdict"] for row in rows}

    return run


def test_a_node_that_decodes_slower_is_named_for_that_alone(options, truths, judged):
    """By more than the 8% that are found on a quiet machine: see ``benchmarks/fleet_live.py``."""
    slow, *sound = truths(INTERVAL_MS * 1.5, *[INTERVAL_MS] * 5)
    urls = {"slow": slow, **{f"n{place}": url for place, url in enumerate(sound)}}
    found = judged(*options(9, urls, canaries=4, repeats=2))
    assert set(found) == {(node, row) for node in urls for row in ROWS}
    assert {key: each for key, each in found.items() if each != "PASS"} == {("slow", "fleet.tpot"): "FAIL"}


def test_a_spoilt_a_flaky_and_a_dead_node_are_named_and_the_sound_ones_are_not(
    options, embedded_pair, reference_server, dead, judged
):
    def server(defect=None):
        environment = {"VLLM_SERVER_DEV_MODE": "1"}
        return reference_server(dtype="bfloat16", defect=defect, environment=environment).url

    urls = {
        "sound": embedded_pair["npu"],
        "twin": server(),
        "zero": server("zero-expert"),
        # More often than in ``benchmarks/fleet_live.py``, where so few tokens may meet no fault that changes
        # one; seldom enough for clean rounds: what a canary departs by in each of them counts as rounding.
        "flaky": server("flaky-expert:59"),
        "dead": dead,
    }
    found = judged(*options(40, urls, canaries=4, repeats=8))
    assert {found["dead", row] for row in ROWS} == {"INVALID"}
    # The servers share the machine's cores, which hides and makes differences in speed.
    named = {key for key, each in found.items() if each == "FAIL" and key[1] not in SPEED}
    assert {("zero", "fleet.answers"), ("zero", "fleet.logprobs"), ("flaky", "fleet.repeat")} <= named
    assert {node for node, _ in named} == {"zero", "flaky"}
    assert ("zero", "fleet.repeat") not in named


def test_ctrl_c_keeps_the_rounds_that_ended_and_leaves_no_process(pytester, options, truths, report):
    urls = {f"n{place}": url for place, url in enumerate(truths(20, 20, 20))}
    process = started_as_a_terminal_does(
        pytester, *options(9, urls, canaries=4, repeats=3), start_new_session=True
    )
    output = output_after_ctrl_c(process, FirstRound(pytester.path / "gptoss-report"))
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "Traceback" not in output
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    document = report()
    assert (document["state"], document["run"]["verdict"]) == ("interrupted", "INCOMPLETE")
    kept = {each["id"]: each["complete"] for each in document["measurements"]["scenarios"]}
    rounds = {name: complete for name, complete in kept.items() if name.startswith("canaries-")}
    assert [complete for name, complete in rounds.items() if "-r0-" in name] == [True] * 3
    assert not any(complete for name, complete in rounds.items() if "-r2-" in name)


class FirstRound:
    """Is waited for like an event: the first round is stored, of all nodes."""

    def __init__(self, report):
        self._report = report

    def wait(self, pause):
        time.sleep(pause)
        return len(list(self._report.glob("run/**/canaries-*-r0-*.json"))) == 3
