"""What pytest says to a user's mistake: exit 4 and one line, before anything is sent."""

import pytest

from pytest_gptoss.resources import acceptance_tests

pytest_plugins = ["pytester"]


@pytest.fixture
def accept(pytester):
    """Run the acceptance tests in a process of their own."""
    return lambda *arguments: pytester.runpytest_subprocess(
        str(acceptance_tests()), "-p", "no:cacheprovider", *arguments, timeout=120
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
