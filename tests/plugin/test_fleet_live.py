"""Fleets of real servers: the odd node is named at its row, and the others are green."""

import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from starting import output_after_ctrl_c, started_as_a_terminal_does

from pytest_gptoss.model.resources import acceptance_tests
from pytest_gptoss.scenarios.truth import truth_server

pytest_plugins = ["pytester"]

ROWS = {f"fleet.{row}" for row in ("answers", "logprobs", "ttft", "tpot", "repeat", "configuration")}
SMALL = ("--gptoss-profile=embedded", "-m", "fleet", "--gptoss-ready-timeout=1")


@pytest.fixture
def dead():
    """An address where nobody answers: the port stays taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def fleet(pytester):
    """Write a fleet's file; returns the option that names it."""

    def write(**urls):
        tables = (f'[{name}]\nurl = "{url}"\n' for name, url in urls.items())
        (pytester.path / "fleet.toml").write_text("\n".join(tables), "utf-8")
        return "--gptoss-fleet=fleet.toml"

    return write


@pytest.fixture
def truths():
    """Start ground-truth servers that tell their prompts' ids, by the milliseconds between their tokens."""
    with ExitStack() as stack:
        yield lambda *intervals: [
            stack.enter_context(
                truth_server("--prompt-ids", "--first-token-ms=40", f"--interval-ms={interval}")
            )
            for interval in intervals
        ]


@pytest.fixture
def found(report):
    """(node, row) -> verdict, of the rows of the family."""
    return lambda: {
        (row["npu"], row["threshold_id"]): row["verdict"]
        for row in report()["verdicts"]
        if row["family"] == "fleet"
    }


def test_a_slow_node_is_named_for_its_decoding_and_nothing_else_is(
    pytester, few_prompts, fleet, truths, found
):
    *sound, slow = [each.endpoint.root for each in truths(*[25] * 5, 25 * 1.08)]
    option = fleet(slow=slow, **{f"n{place}": url for place, url in enumerate(sound)})
    result = pytester.runpytest_subprocess(
        str(acceptance_tests()), "-p", "no:cacheprovider", *SMALL, option, f"--gptoss-prompts={few_prompts}",
        "--gptoss-fleet-canaries=4", "--gptoss-fleet-repeats=2", timeout=280,
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED, result.stdout.str()
    verdicts = found()
    assert {row for _, row in verdicts} == ROWS
    assert {key: each for key, each in verdicts.items() if each != "PASS"} == {("slow", "fleet.tpot"): "FAIL"}
