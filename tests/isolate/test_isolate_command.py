"""``pytest-gptoss isolate`` on servers whose fault is known."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from pytest_gptoss.cli.main import main
from pytest_gptoss.isolate import trials
from pytest_gptoss.isolate.page import words
from pytest_gptoss.report.spoken import chinese_templates

SERVER = Path(__file__).with_name("faulty_server.py")
SEVEN = [word for number in range(7) for word in ("--flag", f"--other-{number} x")]


def isolate(tmp_path, fault, *more, flags=""):
    serve = shlex.join(
        [sys.executable, str(SERVER), "--port", "{port}", "--fault", fault, *shlex.split(flags)]
    )
    status = main(["isolate", "--serve", serve, "--output", str(tmp_path / "out"), *more])
    result = tmp_path / "out" / "result.json"
    return status, json.loads(result.read_text()) if result.exists() else None


def test_a_missing_flag_is_named_among_eight_in_twelve_starts(tmp_path):
    status, found = isolate(tmp_path, "absent", *SEVEN, "--flag=--good 3")
    assert (status, found["verdict"]) == (0, "found")
    assert found["guilty"] == [{"setting": "--good 3", "put_in": True}]
    assert len(found["starts"]) <= 12
    assert found["works"].endswith("--good 3")
    assert found["eager_heals"] is False
    english, chinese = ((tmp_path / "out" / name).read_text() for name in ("result.md", "result.zh.md"))
    assert "it fails unless `--good 3` is given" in english
    assert "不给出 `--good 3` 就会失败" in chinese
    assert not (tmp_path / "out" / trials.STATE).exists()


@pytest.mark.parametrize("probe", ['{"kind": "start"}', None])
def test_a_flag_that_keeps_it_from_starting_is_named_with_the_known_remedy(tmp_path, probe):
    (tmp_path / "probe.json").write_text(probe or "")
    named = ("--probe", str(tmp_path / "probe.json")) if probe else ()
    more = (*named, "--flag", "--bad", "--flag=--other x")
    status, found = isolate(tmp_path, "crash", *more, flags="--bad")
    assert (status, found["guilty"]) == (0, [{"setting": "--bad", "put_in": False}])
    assert "NPU out of memory" in found["starts"][0]["evidence"]
    assert "--bad" not in found["works"]
    (remedy,) = (each for each in found["remedies"] if "--max-model-len" in each)
    chinese = (tmp_path / "out" / "result.zh.md").read_text()
    assert chinese_templates()[remedy] in chinese
    assert remedy not in chinese


@pytest.mark.parametrize("probe", ['{"kind": "start"}', None])
def test_a_flag_that_the_server_refuses_does_not_hide_the_one_that_heals(tmp_path, probe):
    (tmp_path / "probe.json").write_text(probe or "")
    named = ("--probe", str(tmp_path / "probe.json")) if probe else ()
    flags = [f"--flag={each}" for each in ("--one", "--refused", "--two", "--good 3")]
    status, found = isolate(tmp_path, "unstarted", *named, *flags)
    assert (status, found["guilty"]) == (0, [{"setting": "--good 3", "put_in": True}])


def test_a_flag_counts_however_its_value_is_written(tmp_path):
    status, found = isolate(tmp_path, "present", "--flag=--bad 1", "--flag=--x", flags="--bad=1")
    assert (status, found["guilty"]) == (0, [{"setting": "--bad 1", "put_in": False}])
    assert "--bad" not in found["works"]


def test_eager_that_fails_otherwise_says_nothing_of_graphs(tmp_path):
    status, found = isolate(tmp_path, "no-eager", "--flag=--good 3")
    assert (status, found["eager_heals"]) == (0, None)


def test_another_baseline_is_another_search(tmp_path, capsys):
    for name in "ab":
        (tmp_path / f"{name}.zip").write_text(name)
    common = ("absent", "--max-starts", "2", "--flag=--x", "--baseline")
    assert isolate(tmp_path, *common, str(tmp_path / "a.zip"))[0] == 1
    assert isolate(tmp_path, *common, str(tmp_path / "b.zip"))[0] == 4
    assert "belongs to another search" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("probe", "more", "said"),
    [
        ({"kind": "threshold", "threshold": "precision.kll"}, (), "no threshold is called 'precision.kll'"),
        ({"kind": "threshold", "threshold": "precision.kl", "profile": "nosuch"}, (), "nosuch"),
        ({"kind": "start"}, ("--baseline=nowhere.zip",), "--baseline nowhere.zip"),
    ],
)
def test_what_no_start_could_be_judged_by_is_told_before_the_first(tmp_path, capsys, probe, more, said):
    (tmp_path / "probe.json").write_text(json.dumps(probe))
    status, found = isolate(tmp_path, "absent", "--probe", str(tmp_path / "probe.json"), *more)
    assert (status, found) == (4, None)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out" / "logs").exists()


def test_a_program_that_is_not_there_is_no_failure_to_search_for(tmp_path, capsys):
    assert main(["isolate", "--serve", "vlm serve x --port {port}", "--output", str(tmp_path)]) == 4
    assert "--serve: there is no program 'vlm'" in capsys.readouterr().err


def test_a_server_that_does_not_start_is_another_failure_than_a_refused_request(tmp_path):
    (tmp_path / "probe.json").write_text('{"kind": "request"}')
    status, found = isolate(tmp_path, "crash", "--probe", str(tmp_path / "probe.json"), flags="--bad")
    assert (status, found["guilty"]) == (1, [])
    page = (tmp_path / "out" / "result.md").read_text()
    assert "another failure" in page
    assert "NPU out of memory" in page.partition("## Evidence")[2]


def test_a_line_of_the_log_counts_unless_the_server_was_being_ended(tmp_path):
    (tmp_path / "probe.json").write_text('{"kind": "log", "pattern": "EngineDeadError"}')
    more = ("--probe", str(tmp_path / "probe.json"), "--flag=--bad")
    status, found = isolate(tmp_path, "said", *more, flags="--bad")
    assert (status, found["guilty"]) == (0, [{"setting": "--bad", "put_in": False}])


def test_a_variable_and_graph_capture_are_named(tmp_path):
    status, found = isolate(tmp_path, "variable", "--env", "HCCL_OP_EXPANSION_MODE=AIV", "--flag", "-x")
    assert (status, found["guilty"][0]["setting"]) == (0, "HCCL_OP_EXPANSION_MODE=AIV")
    assert found["works"].startswith("HCCL_OP_EXPANSION_MODE=AIV ")
    status, found = isolate(tmp_path, "graph", "--flag=--x")
    assert (status, found["guilty"][0]["setting"], found["eager_heals"]) == (0, "--enforce-eager", True)


def test_every_second_start_is_flaky_and_blamed_on_nothing(tmp_path):
    status, found = isolate(tmp_path, "random", *SEVEN, flags=f"--turns {tmp_path / 'turns'}")
    assert (status, found["verdict"], found["guilty"]) == (3, "flaky", [])
    assert "no setting is blamed" in (tmp_path / "out" / "result.md").read_text()


def test_an_interrupted_search_goes_on_where_it_stopped(tmp_path, monkeypatch):
    made = trials.Trials._made
    begun = []

    def interrupted(self, stage, changes):
        begun.append(changes)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return made(self, stage, changes)

    monkeypatch.setattr(trials.Trials, "_made", interrupted)
    more = ("absent", "--flag=--good 3")
    assert isolate(tmp_path, *more)[0] == 130
    status, found = isolate(tmp_path, *more)
    assert status == 0
    assert len(begun) == len(found["starts"]) + 1


def test_another_search_in_the_same_directory_is_refused(tmp_path, capsys):
    assert isolate(tmp_path, "absent", "--max-starts", "2", "--flag=--x")[0] == 1
    assert isolate(tmp_path, "absent", "--max-starts", "2", "--flag=--y")[0] == 4
    assert "belongs to another search" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--flag=x"], "it takes a flag of the server"),
        (["--env=x"], "it takes VAR=VALUE"),
        (["--max-starts=0"], "--max-starts is '0'"),
        (["--probe=nowhere.json"], "--probe nowhere.json"),
    ],
)
def test_usage(tmp_path, capsys, more, said):
    assert isolate(tmp_path, "absent", *more)[0] == 4
    assert said in capsys.readouterr().err


def test_an_option_of_the_command_is_no_flag_of_the_server(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        isolate(tmp_path, "absent", "--flag", "--max-starts", "2")
    assert ended.value.code == 4
    assert "argument --flag: expected one argument" in capsys.readouterr().err


def test_the_words_are_whole_in_both_languages():
    assert all(set(each) == {"en", "zh"} and all(each.values()) for each in words().values())


def test_a_start_that_takes_too_long_names_this_commands_option(tmp_path):
    within = ("--ready-timeout", "0.5", "--max-starts", "2", "--output", str(tmp_path))
    assert main(["isolate", "--serve", "sh -c 'sleep 600' {port}", *within]) == 1
    evidence = json.loads((tmp_path / "result.json").read_text())["starts"][0]["evidence"]
    assert "after 0.5 s: raise --ready-timeout" in evidence


def test_a_variable_does_not_reach_a_container(tmp_path, capsys):
    line = "docker run -p {port}:8000 image"
    more = ("--env", "HCCL_OP_EXPANSION_MODE=AIV", "--output", str(tmp_path))
    assert main(["isolate", "--serve", line, *more]) == 4
    assert "--env: it reaches docker and not the server in its container" in capsys.readouterr().err
