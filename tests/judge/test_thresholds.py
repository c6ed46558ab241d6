"""The shipped tables are the contract; a user's changes are checked to the letter."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gptoss.judge import thresholds
from pytest_gptoss.judge.profile_files import profile_document
from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.judge.thresholds import load_profile, profile_names
from pytest_gptoss.model.arrivals import Arrivals
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import LoadShape, LoadTask
from pytest_gptoss.scenarios.kinds import Load
from pytest_gptoss.scenarios.load_plan import planned_levels

CONTRACT = {
    "precision.token_match_rate": (">=", 0.95, "share"),
    "precision.hidden_cosine": (">=", 0.99, "cosine"),
    "precision.perplexity_diff": ("<=", 1.0, "% of PPL(GPU)"),
    "precision.rouge_l": (">=", 0.98, "F"),
    **{
        f"needle.recall.{cell}": ("=", 1.0, "share")
        for cell in ("d000-1k", "d025-32k", "d050-64k", "d075-96k", "d100-128k")
    },
    "performance.ttft.c01": ("<", 100.0, "ms"),
    "performance.tpot.c01": ("<", 20.0, "ms"),
    "performance.throughput.c16": (">", 2000.0, "tok/s"),
    "performance.qps.c16": (">", 5.0, "req/s"),
}
ASSURANCE = {
    "inputs.identical": ("=", 1.0, "share"),
    "baseline.perplexity": ("<=", 2.0, "% of PPL(CPU)"),
    "baseline.kl": ("<=", 0.05, "nat"),
    "precision.forced_agreement": (">=", 0.999, "share"),
    "precision.kl": ("<=", 0.008, "nat"),
    "precision.error_ratio": ("<=", 1.5, "times"),
    "precision.decode_prefill": ("<=", 0.1, "nat"),
    "precision.leakage": ("=", 0.0, "outputs"),
    **{f"needle.control.{length}": ("=", 0.0, "answers") for length in ("1k", "32k", "64k", "96k", "128k")},
    **{f"performance.completed.{level}": ("=", 1.0, "share") for level in ("c01", "c04", "c08", "c16")},
    **{f"performance.uncached.{level}": ("=", 0.0, "tokens") for level in ("c01", "c04", "c08", "c16")},
}


def changed(tmp_path, text, name="limits.toml"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_profile("atlas-800-a2", overrides=path)


def test_a_changed_statistic_brings_the_limit_that_was_made_for_it(tmp_path):
    """The guide's 0.95 of whole answers says nothing of positions, where damage gives 0.954."""
    text = '[thresholds."precision.token_match_rate"]\nstatistic = "{}"\n'
    row = changed(tmp_path, text.format("forced")).thresholds["precision.token_match_rate"]
    assert (row.statistic, row.statistic_from, row.limit, row.changed_from) == ("forced", "rate", 0.96, 0.95)
    path = tmp_path / "limits.toml"
    path.write_text(text.format("rate"))
    profile = load_profile("atlas-800-a2", overrides=path, forced=True)
    row = profile.thresholds["precision.token_match_rate"]
    assert (row.statistic, row.statistic_from, row.limit, row.changed_from) == ("rate", None, 0.95, None)


def test_both_profiles_ship():
    assert set(profile_names()) >= {"atlas-800-a2", "embedded"}


@pytest.mark.parametrize(("tier", "rows"), [("contract", CONTRACT), ("assurance", ASSURANCE)])
def test_the_atlas_table_is_the_documents(tier, rows):
    table = load_profile("atlas-800-a2").thresholds
    found = {key: (row.comparison, row.limit, row.unit) for key, row in table.items() if row.tier == tier}
    assert {key: found.get(key) for key in rows} == rows


def test_only_the_perplexity_limit_of_the_contract_is_ours():
    table = load_profile("atlas-800-a2").thresholds
    assert [key for key in CONTRACT if table[key].source == "ours"] == ["precision.perplexity_diff"]


@pytest.mark.parametrize("name", profile_names())
def test_every_row_is_well_formed(name):
    for key, row in load_profile(name).thresholds.items():
        assert row.id == key
        assert row.family in {
            "preflight",
            "precision",
            "needle",
            "performance",
            "capability",
            "stress",
            "fleet",
        }
        assert row.tier in {"contract", "assurance"}
        assert row.comparison in {">=", "<=", ">", "<", "="}
        assert isinstance(row.limit, float)
        assert row.source
        assert row.statistic in metric_named(row.metric).statistics
        assert row.changed_from is None


@pytest.mark.parametrize("family", ["precision", "performance"])
def test_profiles_have_the_same_ids(family):
    ids = [[key for key, row in load_profile(name).thresholds.items() if row.family == family]
           for name in ("atlas-800-a2", "embedded")]  # fmt: skip
    assert ids[0] == ids[1]


def test_the_embedded_profile_has_the_cells_its_checkpoint_masters():
    rows = load_profile("embedded").thresholds
    cells = ["d000-256", "d025-512", "d050-1k", "d075-2k", "d100-4k"]
    assert [key for key in rows if key.startswith("needle.recall")] == [f"needle.recall.{c}" for c in cells]
    controls = [key for key in rows if key.startswith("needle.control")]
    assert controls == [f"needle.control.{length}" for length in ("256", "512", "1k", "2k", "4k")]


def test_the_full_grid_is_every_depth_of_every_length():
    table = load_profile("atlas-800-a2").thresholds
    full = load_profile("atlas-800-a2", full_needle_grid=True).thresholds
    recall = [key for key in full if key.startswith("needle.recall")]
    assert len(recall) == 25
    assert recall[:5] == [f"needle.recall.d{depth}-1k" for depth in ("000", "025", "050", "075", "100")]
    assert {key: row for key, row in full.items() if key in table} == dict(table)
    added = [full[key] for key in recall if key not in table]
    assert {(row.tier, row.source, row.limit) for row in added} == {("assurance", "ours", 1.0)}
    assert all(row.metric == f"needle_recall.{row.id.removeprefix('needle.recall.')}" for row in added)


def test_a_row_of_the_full_grid_can_be_changed(tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text('[thresholds."needle.recall.d000-128k"]\nlimit = 0.9\n')
    full = load_profile("atlas-800-a2", overrides=path, full_needle_grid=True).thresholds
    assert full["needle.recall.d000-128k"].changed_from == 1.0


def test_the_workload_of_the_document():
    workload = load_profile("atlas-800-a2").workload
    assert (workload.max_tokens, workload.top_logprobs, workload.max_scored_tokens) == (256, 20, 2048)
    assert load_profile("embedded").workload.prompts == "embedded"
    levels = [
        (name, each.concurrency, each.requests, each.max_tokens) for name, each in workload.levels.items()
    ]
    assert levels == [
        ("c01", 1, 50, 256), ("c04", 4, 100, 512), ("c08", 8, 100, 512), ("c16", 16, 200, 512),
    ]  # fmt: skip
    assert {(each.prompt_tokens, each.endpoint) for each in workload.levels.values()} == {(1024, "chat")}


def test_any_figure_of_a_level_can_be_gated(tmp_path):
    text = '[thresholds."performance.ttft.c08"]\nlimit = 300\nstatistic = "p99"\n'
    row = changed(tmp_path, text).thresholds["performance.ttft.c08"]
    assert (row.comparison, row.limit, row.unit, row.statistic) == ("<", 300.0, "ms", "p99")
    assert (row.family, row.metric, row.tier, row.changed_from) == (
        "performance", "ttft.c08", "assurance", None,
    )  # fmt: skip
    text = '[thresholds."performance.throughput.c04"]\nlimit = 900\nstatistic = "full concurrency"\n'
    row = changed(tmp_path, text).thresholds["performance.throughput.c04"]
    assert (row.comparison, row.limit, row.statistic) == (">", 900.0, "full concurrency")


def test_a_level_of_ones_own_has_rows_that_make_it_trustworthy(tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text('[thresholds."performance.itl.c32"]\nlimit = 50\nstatistic = "p99"\n')
    own = LoadTask(concurrency=(1, 32))
    table = load_profile("atlas-800-a2", overrides=path, levels=lambda of: planned_levels(of, own)).thresholds
    assert table["performance.completed.c32"].metric == "completed.c32"
    assert table["performance.uncached.c32"].limit == 0.0
    assert table["performance.itl.c32"].limit == 50.0
    assert "performance.throughput.c16" in table  # judged INVALID, not silently absent


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[thresholds."performance.ttft.c32"]\nlimit = 1',
            "c32 is no load level of this run, which has c01, c04",
        ),
        ('[thresholds."performance.ttft.c8"]\nlimit = 1', "no threshold is called"),
        ('[thresholds."performance.ttft.c008"]\nlimit = 1', "c008 is no load level"),
        ('[thresholds."performance.speed.c08"]\nlimit = 1', "no threshold is called"),
        ('[thresholds."performance.ttft.c08"]\nstatistic = "p99"', "no limit of its own yet"),
        ('[thresholds."performance.ttft.c08"]\nlimit = 1\nstatistic = "p98"', "ttft.c08 has: median, p50"),
        ('[thresholds."performance.qps.c08"]\nlimit = -1', "must be at least 0"),
    ],
)
def test_a_load_row_that_cannot_be_gated_is_refused(tmp_path, text, says):
    with pytest.raises(UsageError, match=says):
        changed(tmp_path, text)


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"--gptoss-profile is 'atlas': .*atlas-800-a2, embedded"):
        load_profile("atlas")


def test_a_changed_limit_remembers_the_old_one(tmp_path):
    profile = changed(tmp_path, '[thresholds."precision.rouge_l"]\nlimit = 0.97\n')
    before = load_profile("atlas-800-a2")
    row = profile.thresholds["precision.rouge_l"]
    assert (row.limit, row.changed_from) == (0.97, 0.98)
    assert profile.changed == (row,)
    assert dataclasses.replace(row, limit=0.98, changed_from=None) == before.thresholds["precision.rouge_l"]
    assert [key for key in profile.thresholds if profile.thresholds[key] != before.thresholds[key]] == [
        row.id
    ]
    assert list(profile.thresholds) == list(before.thresholds)


def test_the_same_limit_again_is_no_change(tmp_path):
    profile = changed(tmp_path, '[thresholds."precision.rouge_l"]\nlimit = 0.98\nstatistic = "mean"\n')
    assert profile == load_profile("atlas-800-a2")


def test_a_whole_number_is_a_limit(tmp_path):
    row = changed(tmp_path, '[thresholds."precision.rouge_l"]\nlimit = 1\n').thresholds["precision.rouge_l"]
    assert (row.limit, type(row.limit)) == (1.0, float)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[thresholds."precision.rouge"]\nlimit = 1',
            "no threshold is called 'precision.rouge'; there are: preflight",
        ),
        ("[thresholds.precision.rouge_l]\nlimit = 1", "no threshold is called 'precision'"),
        (
            '[thresholds."precision.kl"]\nlimt = 1',
            "precision.kl: 'limt' cannot be changed, only limit and statistic",
        ),
        ('[thresholds."precision.kl"]\ntier = "assurance"', "precision.kl: 'tier' cannot be changed"),
        (
            '[thresholds."precision.kl"]\nlimit = "1"',
            "precision.kl: limit is '1'; it must be a finite number",
        ),
        (
            '[thresholds."precision.kl"]\nlimit = true',
            "precision.kl: limit is True; it must be a finite number",
        ),
        (
            '[thresholds."precision.kl"]\nlimit = nan',
            "precision.kl: limit is nan; it must be a finite number",
        ),
        (
            '[thresholds."precision.kl"]\nlimit = -inf',
            "precision.kl: limit is -inf; it must be a finite number",
        ),
        (
            f'[thresholds."precision.kl"]\nlimit = 1{"0" * 400}',
            r"precision.kl: limit is 10+\.\.\.; it must be a finite",
        ),
        ('[thresholds."precision.kl"]\nlimit = -1', "limit is -1; a limit in nat must be at least 0"),
        ('[thresholds."precision.rouge_l"]\nlimit = 98', "limit is 98; a limit in F must be from 0 to 1"),
        (
            '[thresholds."precision.kl"]\nstatistic = "median"',
            "precision.kl: statistic is 'median'; kl has: mean",
        ),
        ('[thresholds."precision.kl"]\nstatistic = ["mean"]', r"statistic is \['mean'\]; kl has: mean"),
        ('[thresholds]\n"precision.kl" = 1', "precision.kl: 1 is no table"),
        ('[thresholds."precision.kl"]', "precision.kl: {} is no table"),
        ("thresholds = 3", "it changes nothing"),
        ("", "it changes nothing"),
        ('["precision.kl"]\nlimit = 1', "unknown table 'precision.kl'"),
        ("[thresholds", "not a TOML file"),
        (f"x = {'[' * 100_000}", "nested too deeply"),
        (f"[thresholds.{'a' * 5000}]\nlimit = 1", r"no threshold is called 'a+\.\.\.; there are"),
        (
            f'[thresholds."precision.kl"]\nlimit = 0x1{"0" * 5000}',
            "limit is of kind int, beyond telling; it must be",
        ),
        ("#" * 2**20 + "#", "more than 1048576 bytes, the limit"),
        (b"\xff\xfe", "not a TOML file"),
    ],
)
def test_a_bad_file_names_itself_and_the_rule(tmp_path, text, says):
    with pytest.raises(UsageError, match=rf"limits\.toml: .*{says}") as raised:
        changed(tmp_path, text)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.toml: No such file"):
        load_profile("atlas-800-a2", overrides=tmp_path / "nowhere.toml")


TOML_VALUES = st.sampled_from(
    [
        "1",
        "0.5",
        "-1",
        "nan",
        "true",
        '"mean"',
        "[1]",
        "{}",
        "{a=1}",
        "1979-05-27",
        "0x10",
        "1e400",
        "'x'",
        "",
        "[",
    ]
)
TOML_KEYS = st.sampled_from(
    [
        'thresholds."precision.kl"',
        "thresholds",
        "thresholds.precision.kl",
        "limit",
        "statistic",
        "limt",
        '""',
        "x.y",
    ]
)
TOML_LINES = st.one_of(
    TOML_KEYS.map("[{}]".format), st.tuples(TOML_KEYS, TOML_VALUES).map(" = ".join), st.text(max_size=10)
)


@given(st.lists(TOML_LINES, max_size=5).map("\n".join))
def test_any_file_is_a_table_or_one_line_of_refusal(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    refusal = ""
    try:
        table = load_profile("embedded", overrides=path).thresholds
    except UsageError as error:
        refusal = str(error)
    if refusal:
        assert refusal.startswith(str(path))
        assert len(refusal.splitlines()) == 1
    else:
        assert table.keys() == load_profile("embedded").thresholds.keys()


@pytest.fixture
def profile_with(monkeypatch):
    """The guide's profile with further load levels, as lines of its TOML."""

    def make(*lines, **changes):
        document = profile_document("atlas-800-a2")
        load = document["workload"]["load"]
        document["workload"]["load"] = {**load, "levels": [*load["levels"], *lines]}
        monkeypatch.setattr(thresholds, "profile_document", lambda _: document)
        return load_profile("atlas-800-a2", **changes)

    return make


LONG = {"name": "c16-p4096", "concurrency": 16, "requests": 64, "prompt_tokens": 4096, "max_tokens": 512}


def test_a_level_of_another_prompt_length_is_a_line_of_toml(profile_with, tmp_path):
    file = tmp_path / "limits.toml"
    file.write_text('[thresholds."performance.ttft.c16-p4096"]\nlimit = 900\n', "utf-8")
    profile = profile_with(LONG, overrides=file)
    assert profile.workload.levels["c16-p4096"] == LoadShape(16, 64, 4096, 512)
    assert profile.workload.levels["c16"].prompt_tokens == 1024
    for figure in ("ttft", "completed", "uncached"):
        row = profile.thresholds[f"performance.{figure}.c16-p4096"]
        assert row.metric == f"{figure}.c16-p4096"
        assert metric_named(row.metric).needs(Roles("npu")) == {"trial_0": Load("npu", "c16-p4096")}


def test_an_open_level_is_a_line_of_toml_too(profile_with):
    profile = profile_with({"rate": 8, "arrivals": "gamma:2", "duration_s": 60, "max_tokens": 9})
    arrivals = Arrivals(8.0, "gamma", 2.0)
    assert profile.workload.levels["r8"] == LoadShape(8, 0, 1024, 9, arrivals=arrivals, duration_s=60)
    assert profile.thresholds["performance.completed.r8"].metric == "completed.r8"
    with pytest.raises(
        UsageError, match=r"profile 'atlas-800-a2' is incomplete .*rate is 0: it takes requests"
    ):
        profile_with({"rate": 0, "duration_s": 60, "max_tokens": 9})


def test_a_level_with_a_name_that_none_can_have_is_refused(profile_with):
    with pytest.raises(UsageError, match="'C16 long' is no load level's name"):
        profile_with({**LONG, "name": "C16 long"})
