"""Levels and a service level in a user's thresholds file, with their shape."""

import pytest

from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.arrivals import Arrivals, Slo
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape

OPEN = """
[[workload.load.levels]]
rate = 8
arrivals = "gamma:2"
duration_s = 60
ramp_up_s = 5
"""
SLO = "[workload.slo]\nttft_ms = 500\ntpot_ms = 50.5\nshare = 0.9\n"


@pytest.fixture
def profile(tmp_path):
    """The guide's profile with the changes of a file."""
    path = tmp_path / "mine.toml"

    def load(text, **fields):
        path.write_text(text)
        return load_profile("atlas-800-a2", overrides=path, **fields)

    return load


def test_an_open_level_of_a_file_has_its_shape_and_its_rows(profile):
    changed = profile(f'{OPEN}{SLO}[thresholds."performance.ttft.r8"]\nlimit = 300\nstatistic = "p95"\n')
    slo = Slo(500, 50.5, 0.9)
    levels = changed.workload.levels
    assert levels["r8"] == LoadShape(8, 0, 1024, 512, arrivals=Arrivals(8.0, "gamma", 2.0),
        ramp_up_s=5.0, slo=slo, duration_s=60)  # fmt: skip
    assert {shape.slo for shape in levels.values()} == {slo}
    rows = changed.thresholds
    assert rows["performance.ttft.r8"].limit == 300
    for row in ("performance.completed.r8", "performance.uncached.r8", "stress.audit.r8"):
        assert rows[row].metric == row.partition(".")[2]


def test_a_level_of_a_file_may_be_closed_and_have_a_name(profile):
    text = """
[[workload.load.levels]]
name = "c16-p4096"
concurrency = 16
requests = 64
prompt_tokens = 4096
[[workload.load.levels]]
name = "r0.5-burst"
rate = 0.5
requests = 40
concurrency = 3
max_tokens = 9
endpoint = "completions"
"""
    levels = profile(text).workload.levels
    assert levels["c16-p4096"] == LoadShape(16, 64, 4096, 512)
    assert levels["r0.5-burst"] == LoadShape(3, 40, 1024, 9, "completions", arrivals=Arrivals(0.5))


def test_rows_are_made_for_the_levels_that_options_name(profile):
    table = profile(OPEN, concurrency=[4], open_levels=["r2", "trace"]).thresholds
    found = [row.rpartition(".")[2] for row in table if row.startswith("performance.completed.")]
    assert {"r8", "r2", "trace"} <= set(found)
    assert found.count("r8") == 1
    assert "performance.completed.r16" not in table


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[workload]\nprompts = 'x'\n", "workload: 'prompts' cannot be changed, only load and slo"),
        ("[workload.load]\nprompt_tokens = 4\n", "workload.load: 'prompt_tokens' cannot be changed"),
        ("workload = 3", "workload is no table: it takes load and slo"),
        ("[workload.load.levels]\nrate = 8\n", r"workload.load.levels is no list: write \[\[workload"),
        ("[workload.slo]\nshare = 0.9\n", "workload.slo: it has no limit: write ttft_ms or tpot_ms"),
        ("[workload.slo]\nttft = 5\n", "workload.slo: 'ttft' is unknown: the service level takes ttft_ms"),
        ("[workload.slo]\nttft_ms = 5\nshare = 95\n", "share is 95: it takes a share above 0 and up to 1"),
        ("[workload.slo]\nttft_ms = nan\n", "ttft_ms is nan: it takes a number of milliseconds above 0"),
        (OPEN.replace("8", "0"), "number 1: rate is 0: it takes requests a second"),
        (OPEN.replace("8", "-1.5"), "number 1: rate is -1.5"),
        (OPEN.replace("8", "nan"), "number 1: rate is nan"),
        (OPEN.replace("8", "'8'"), "number 1: rate is '8'"),
        (OPEN.replace("gamma:2", "gamma:0"), "arrivals is 'gamma:0': it takes poisson, constant or gamma:CV"),
        (OPEN.replace("duration_s = 60", ""), "it has no end: write duration_s or requests"),
        (OPEN.replace("duration_s = 60", "duration_s = 0"), "duration_s is 0: it takes a number of"),
        (OPEN + "name = 'r9'\n", "name is 'r9', which says what the level is not"),
        (OPEN + "name = 'c08'\n", "name is 'c08', which says what the level is not"),
        (OPEN + "name = 'trace'\n", "'trace' is no load level's name"),
        (OPEN + "name = 'R8'\n", "'R8' is no load level's name, as c16, c16-p4096 and r8-burst are"),
        (OPEN + "endpoint = 'responses'\n", "endpoint is 'responses': it takes chat or completions"),
        (OPEN + "tokens = 5\n", "'tokens' is unknown: a level takes name, concurrency, rate"),
        (OPEN + OPEN, "number 2: r8 stands there twice: give one of them a name of its own"),
        ("[[workload.load.levels]]\nrequests = 5\n", "number 1: concurrency is missing: write it"),
        ("[[workload.load.levels]]\nconcurrency = 5\nduration_s = 3\n", "duration_s: a level without a rate"),
        ("[[workload.load.levels]]\nconcurrency = true\n", "concurrency is True: it takes a whole number"),
    ],
)  # fmt: skip
def test_what_a_level_cannot_be_is_refused_with_its_place(profile, text, message):
    with pytest.raises(UsageError, match=message) as refused:
        profile(text)
    assert "mine.toml: " in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
