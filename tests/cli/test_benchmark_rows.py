"""``pytest-gptoss benchmark`` measures the levels that are named, and no other."""

from pathlib import Path

import pytest

from pytest_gptoss.cli import benchmark
from pytest_gptoss.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        ([], None),
        (["--concurrency", "1, 4"], ".c01] or .c04]"),
        (["--rate", "0.5,8"], ".r0.5] or .r8]"),
        (["--rate", "8", "--concurrency", "16"], ".c16] or .r8]"),
        (["--gptoss-rate=2.50"], ".r2.5]"),
        (["--gptoss-rate", "8", "--gptoss-trace", "t.csv"], ".r8] or .trace]"),
        (["--gptoss-trace=t.csv"], ".trace]"),
        (["--rate", "fast,1.2.3,."], None),  # the plugin refuses it
    ],
)
def test_only_what_is_named_is_measured(monkeypatch, arguments, rows):
    asked = {}

    def accept(family, report_name, given, rest, *, output):
        asked.update(given=given, rest=list(rest), output=output)
        return 0

    monkeypatch.setattr(benchmark, "accept", accept)
    assert main(["benchmark", "--api-url", "http://n", *arguments]) == 0
    assert asked["output"] == Path("benchmark_report.json")
    assert ("-k" in asked["rest"]) == (rows is not None)
    if rows is not None:
        assert asked["rest"][:2] == ["-k", rows]
    least = asked["given"]["--gptoss-concurrency"]
    assert (least == "1") == (rows is not None and "c" not in rows.replace("trace", ""))
    if "--rate" in arguments:
        assert asked["given"]["--gptoss-rate"] == arguments[arguments.index("--rate") + 1]
