"""An option is one row of the table; a part of it that is forgotten is named here."""

import dataclasses
import re
from pathlib import Path

import pytest

from pytest_gptoss.config import option_types
from pytest_gptoss.config.option import OnReplay
from pytest_gptoss.config.option_values import CheckedOptions
from pytest_gptoss.config.options import GROUPS, OPTION, OPTIONS
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.run.replay import run_facts

HERE = Path(__file__).parent
BRING_THEIR_ROLE = {"gpu_url", "gpu_serve", "cpu_url", "cpu_model"}


def _missing(group, option):
    """What a row lacks, in words."""
    tests = HERE / f"test_options_{group}.py"
    if not option.help:
        yield "help"
    if not option.switch and not option.metavar:
        yield "a metavar"
    if option.by_name and not (option.repeats and (option.metavar or "").startswith("[NAME=]")):
        yield "a metavar [NAME=]..., and repeats"
    if not isinstance(option.replay, OnReplay):
        yield "its rule in a replay"
    for word in option.type.choices:
        if word not in option.help:
            yield f"the choice {word} in its help"
    if option.type.choices and f"{option.default} (default" not in option.help:
        yield f"the default {option.default} in its help"
    number = isinstance(option.default, int | float) and not option.switch
    if number and f"(default {option.default:g})" not in option.help:
        yield f"the default {option.default:g} in its help"
    of_role = re.search(r"(?:^|_)(?:gpu|cpu)(?:_|$)", option.key)
    if of_role and option.needs is None and option.key not in BRING_THEIR_ROLE:
        yield "the role it needs"
    if option.excludes is not None and not set(option.excludes.keys) <= set(OPTION):
        yield "options that exist among those it excludes"
    if not tests.is_file() or not re.search(rf"\b{option.key}\b", tests.read_text("utf-8")):
        yield f"a test in tests/config/{tests.name}"


@pytest.mark.parametrize(
    ("group", "option"),
    [(group, option) for group, options in GROUPS.items() for option in options],
    ids=lambda each: getattr(each, "key", each),
)
def test_an_option_lacks_nothing(group, option):
    lacks = ", ".join(_missing(group, option))
    assert not lacks, f"{option.flag} lacks {lacks}"


def test_flags_are_told_apart():
    assert len(OPTION) == len(OPTIONS) == len({option.flag for option in OPTIONS})


def test_the_tables_defaults_are_the_settings_own(settings_of, tmp_path):
    usual = dataclasses.replace(Settings(), report=tmp_path / Settings().report, waivers={})
    assert settings_of() == usual


def test_no_option_is_left_unread(settings_of, monkeypatch):
    read = set()
    value = CheckedOptions.value
    monkeypatch.setattr(CheckedOptions, "value", lambda self, key: (read.add(key), value(self, key))[1])
    settings_of(npu_url="http://n", gpu_url="http://g", cpu_url="http://c")
    unread = sorted(set(OPTION) - read)
    assert not unread, f"no setting is made of {', '.join(unread)}"


EXAMPLES = {
    option_types.TEXT: "some 7842 text",
    option_types.SWITCH: "1",
    option_types.SECONDS: "7",
    option_types.LEVELS: "2,3",
    option_types.RATES: "0.5,8",
    option_types.ARRIVALS: "constant",
    option_types.MILLISECONDS: "500",
    option_types.SHARE: "0.9",
    option_types.ABOVE_0: "2",
    option_types.URL: "http://example",
    option_types.FILE: "some.file",
    option_types.DIRECTORY: ".",
    option_types.COMMAND: "serve --port {port}",
    option_types.ENVIRONMENT: "VAR=1",
    option_types.CHECKPOINT: "tiny",
    option_types.OUTPUT_PATH: "elsewhere",
    option_types.HIDDEN_SOURCE: "http://example",
    option_types.CHECKPOINT_OR_FILE: "tiny",
    option_types.WAIVER: "precision.kl=known",
    option_types.CLUSTER: "auto",
    option_types.FACT: "rack=7",
}
OF_ITS_OWN = {"expect": "78"}


def _example(option):
    other = next((word for word in option.type.choices if word != option.default), "777")
    return OF_ITS_OWN.get(option.key) or EXAMPLES.get(option.type, other)


@pytest.mark.parametrize(
    "option", [each for each in OPTIONS if each.replay is OnReplay.FREE], ids=lambda o: o.key
)
def test_what_a_replay_has_from_the_stored_run_is_not_free(settings_of, tmp_path, option):
    """A replay overwrites these settings: an option for one would be accepted and have no effect."""
    tmp_path.joinpath("some.file").touch()
    stored = set(run_facts(Settings(), "embedded", {})) - {"workload", "format"}
    usual, changed = settings_of(), settings_of(**{option.key: _example(option)})
    lost = sorted(name for name in stored if getattr(usual, name) != getattr(changed, name))
    assert not lost, f"{option.flag} changes {', '.join(lost)}: say what a replay makes of it"
