"""A subcommand is one file; what is forgotten about it is named here."""

import importlib
from pathlib import Path

import pytest

import pytest_gptoss.cli
from pytest_gptoss.cli.command import Command
from pytest_gptoss.cli.main import main

README = Path(__file__).resolve().parents[2] / "README.md"


def _commands():
    names = sorted(path.stem for path in Path(pytest_gptoss.cli.__file__).parent.glob("[a-z]*.py"))
    modules = [importlib.import_module(f"pytest_gptoss.cli.{name}") for name in names]
    return [(each.__name__, each.COMMAND) for each in modules if hasattr(each, "COMMAND")]


def test_there_are_twelve():
    assert len(_commands()) == 12


@pytest.mark.parametrize(("module", "command"), _commands(), ids=lambda each: getattr(each, "name", ""))
def test_a_command_is_dispatched_and_documented(module, command, capsys):
    assert isinstance(command, Command)
    assert module.rpartition(".")[2] == command.name.replace("-", "_"), "the file is named after the command"
    with pytest.raises(SystemExit) as ended:
        main([command.name, "--help"])
    assert ended.value.code == 0, f"{command.name} is not among the commands of cli/main.py"
    assert command.help, f"{command.name} lacks its line of help"
    assert f"pytest-gptoss {command.name}" in README.read_text("utf-8"), "README.md does not name it"
    assert f"pytest-gptoss {command.name}" in capsys.readouterr().out
