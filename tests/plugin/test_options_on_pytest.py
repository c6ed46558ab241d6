"""What pytest says to a user's mistake: exit 4 and one line, before anything is sent."""

import dataclasses
from functools import partial

import pytest

from pytest_gptoss.model.resources import acceptance_tests
from pytest_gptoss.model.subjects import Capabilities, Device
from pytest_gptoss.plugin.telling import _fleet_lines
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.devices import ProbedDevice

pytest_plugins = ["pytester"]


@pytest.fixture
def accept(pytester):
    """Run the acceptance tests inside this process: a mistake is told before anything is started."""
    return lambda *arguments: pytester.runpytest_inprocess(
        str(acceptance_tests()), "-p", "no:cacheprovider", *arguments
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--npu-url", ""], "--npu-url is empty"),
        (["--npu-url", "npu:8000"], "*--npu-url*"),
        (["--gpu-url", "http://127.0.0.1:9"], "no device to accept"),
        (["--npu-url", "http://127.0.0.1:9", "--gptoss-profile", "atlas"], "no such profile"),
        (["--npu-url", "http://127.0.0.1:9", "--gptoss-lang", "fr"], "--gptoss-lang is 'fr'"),
        (["--npu-url", "http://127.0.0.1:9", "--gptoss-waive", "nothing=reason"], "no threshold is called"),
        (["--npu-url", "http://127.0.0.1:9", "--gptoss-replay", "."], "exclude each other"),
        (["--gptoss-replay", "."], "no finished run there"),
        (["--gptoss-fleet", "none.toml"], "--gptoss-fleet is 'none.toml': no such file"),
    ],
)
def test_a_mistake_is_one_line_and_exit_4(accept, arguments, message):
    result = accept(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: gptoss: *{message}*"])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_a_bad_prompts_file_names_file_entry_and_field(accept, pytester):
    pytester.path.joinpath("prompts.json").write_text('[{"id": "a", "prompt": 3}]')
    result = accept("--npu-url", "http://127.0.0.1:9", "--gptoss-prompts", "prompts.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*prompts.json*1*prompt*"])


def test_a_bad_thresholds_file_names_file_and_id(accept, pytester):
    pytester.path.joinpath("mine.toml").write_text('[thresholds."precision.rouge"]\nlimit = 1\n')
    result = accept("--npu-url", "http://127.0.0.1:9", "--gptoss-thresholds", "mine.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*mine.toml*precision.rouge*"])


def test_without_a_device_everything_skips_and_exit_is_5(accept):
    result = accept("-rs")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["*no device to accept*--npu-url*--embedded*"])


def test_without_a_device_under_xdist_exit_is_5_too(accept):
    assert accept("-n", "2").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_users_own_passing_test_beside_skipped_rows_is_exit_0(accept, pytester):
    pytester.makepyfile("def test_mine(): pass")
    result = accept(str(pytester.path))
    assert result.ret == pytest.ExitCode.OK


def test_collect_only_sends_nothing_writes_nothing(accept, pytester):
    result = accept(
        "--npu-url", "http://127.0.0.1:9", "--gpu-url", "http://127.0.0.1:9", "--collect-only", "-q"
    )
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*test_precision[[]npu-precision.token_match_rate]"])
    assert not pytester.path.joinpath("gptoss-report").exists()


def test_several_devices_have_rows_of_their_own(accept):
    result = accept("--npu-url", "tp1=http://127.0.0.1:9", "--npu-url", "tp8=http://127.0.0.1:10",
                    "--collect-only", "-q")  # fmt: skip
    result.stdout.fnmatch_lines(["*[[]tp1-precision.rouge_l]", "*[[]tp8-precision.rouge_l]"])


def test_markers_select_tiers(accept):
    result = accept("--collect-only", "-q", "-m", "precision and contract")
    names = [line for line in result.outlines if "test_precision[" in line]
    assert len(names) == 4


def test_an_unwritable_report_directory_is_exit_4(accept, pytester):
    pytester.path.joinpath("taken").touch()
    result = accept("--npu-url", "http://127.0.0.1:9", "--gptoss-report", "taken")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*taken*--gptoss-report*"])


def _earlier_run(pytester):
    """A finished report and its store, as an earlier run has left them."""
    run = pytester.path / "gptoss-report" / "run"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run.parent / "acceptance.json").write_text('{"state": "finished"}')
    return run.parent


def _untouched(directory):
    stays = (directory / "acceptance.json").read_text() == '{"state": "finished"}'
    return stays and sorted(each.name for each in directory.iterdir()) == ["acceptance.json", "run"]


@pytest.mark.parametrize(
    "arguments", [["-k", "typo"], ["--setup-plan"], ["--fixtures"], ["--fixtures-per-test"], ["--cache-show"]]
)
def test_what_judges_nothing_leaves_the_last_report(accept, pytester, arguments):
    directory = _earlier_run(pytester)
    result = accept("--npu-url", "http://127.0.0.1:9", *arguments)
    assert _untouched(directory), result.stdout.str()


def test_a_users_own_tests_leave_the_last_report_unless_they_measure(pytester, monkeypatch):
    monkeypatch.setenv("GPTOSS_NPU_URL", "http://127.0.0.1:9")
    directory = _earlier_run(pytester)
    pytester.makepyfile(
        """
        def test_mine(): pass

        def test_asks_late(request):
            assert request.getfixturevalue("gptoss_session").run.settings.subjects == ("npu",)

        def test_measures(measure): pass
        """
    )
    run = partial(pytester.runpytest_subprocess, "-p", "no:cacheprovider")
    assert run("-k", "mine").ret == pytest.ExitCode.OK
    assert _untouched(directory)
    for name in ("late", "measures"):
        assert run("-k", name).ret == pytest.ExitCode.OK
        assert '"state": "finished"' in (directory / "acceptance.json").read_text()
        assert not _untouched(directory)


def test_a_skipped_test_beside_skipped_rows_judges_nothing(accept, pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.skip(reason="later")
        def test_mine(): pass

        def test_skips_itself(): pytest.skip("not here")
        """
    )
    assert accept(str(pytester.path)).ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_run_in_which_every_row_is_waived_is_not_green(accept):
    result = accept(
        "--npu-url", "http://127.0.0.1:9", "--gptoss-ready-timeout", "0.1", "-k", "leakage",
        "--gptoss-waive", "precision.leakage=known",
    )  # fmt: skip
    result.assert_outcomes(skipped=1)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_two_runs_in_one_directory(accept, pytester):
    store = Store(pytester.path / "gptoss-report" / "run")
    store.claim()
    try:
        result = accept("--npu-url", "http://127.0.0.1:9", "-k", "leakage")
    finally:
        store.release()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*gptoss-report: another run is measuring there*--gptoss-report DIR*"])


def test_names_that_nobody_has_are_told_without_a_traceback(pytester):
    pytester.makepyfile(
        """
        from pytest_gptoss.scenarios.kinds import Greedy

        def test_device(verdict):
            verdict("precision.leakage", npu="typo")
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--npu-url", "http://127.0.0.1:9")
    result.stdout.fnmatch_lines(["*no device under test is called 'typo'; there are: npu*"])
    assert "Traceback" not in result.stdout.str()


def test_without_a_fleet_it_has_no_row_and_no_line(accept):
    result = accept("-rs", "-m", "fleet")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "skipped" not in result.stdout.str()
    listed = accept("--npu-url", "http://127.0.0.1:9", "--collect-only", "-q").stdout.str()
    assert "test_stress" in listed
    assert "test_fleet" not in listed


def test_a_fleets_rows_are_each_nodes(accept, pytester):
    nodes = "".join(f'[n{each}]\nurl = "http://127.0.0.1:{each}"\n' for each in (1, 2, 3))
    pytester.path.joinpath("fleet.toml").write_text(nodes)
    result = accept("--gptoss-fleet", "fleet.toml", "--collect-only", "-q", "-m", "fleet")
    listed = [line.partition("[")[2][:-1] for line in result.stdout.lines if "test_fleet[" in line]
    rows = ("answers", "logprobs", "ttft", "tpot", "repeat", "configuration")
    assert listed == [f"n{each}-fleet.{row}" for each in (1, 2, 3) for row in rows]


def test_what_is_found_of_a_fleet_is_told_in_few_lines():
    node = Device("npu", "n00", "http://a", "rack 3", "gpt", "0.11", 8192, Capabilities(chat=True))
    named = [dataclasses.replace(node, name=f"n{place:02d}", label=f"card {place}") for place in range(63)]
    named[5] = dataclasses.replace(named[5], server_version="0.12")
    probed = [ProbedDevice(each.name, each) for each in named]
    lines = list(_fleet_lines([*probed, ProbedDevice("n63", None, "n63 does not answer")]))
    assert lines[0] == "n63 does not answer"
    assert lines[1].startswith("n00, n01, n02, n03, n04, n06, n07, n08 and 54 more: 0.11, gpt, context 8192")
    assert lines[2].startswith("n05: 0.12")
    assert len(lines) == 3
