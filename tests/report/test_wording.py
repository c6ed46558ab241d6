"""The catalogue is complete, in both languages, and nothing in it is dead."""

import re
import string
from pathlib import Path

import pytest
from documents import (
    RECORDED,
    diagnosed,
    recorded,
    with_capacity,
    with_features,
    with_history,
    with_open_load,
)
from fleets import fleet_document

from pytest_gptoss import report
from pytest_gptoss.judge.registry import metric_named
from pytest_gptoss.judge.thresholds import load_profile, profile_names
from pytest_gptoss.judge.verdicts import PLAIN_UNITS
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.report.formats.html import html
from pytest_gptoss.report.formats.markdown import markdown
from pytest_gptoss.report.wording import Wording, catalogue

PACKAGE = Path(report.__file__).parent
SOURCES = "\n".join(
    path.read_text("utf-8")
    for path in [*PACKAGE.rglob("*.py"), *PACKAGE.glob("templates/*.j2"), *PACKAGE.parent.glob("cli/*.py")]
)
SAID = set(re.findall(r"""\btranslate\(\s*['"]([\w. *-]+)['"]\s*[,)]""", SOURCES))
COMPOSED = {
    "head", "section", "status", "kind", "tier", "why", "outcome", "unit", "name", "run", "state", "role",
    "chart", "axis", "fact", "feature", "nothing", "equivalence", "error_part", "source",
    "fleet_row", "fleet_state",
    "column", "change",
}  # fmt: skip
"""Groups whose keys are put together where they are used."""


def _fields(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_message_says_the_same_in_every_language():
    assert len(catalogue()) > 200
    for key, message in catalogue().items():
        assert set(message) == set(LANGUAGES), key
        assert all(text.strip() for text in message.values()), key
        assert len({frozenset(_fields(text)) for text in message.values()}) == 1, key


def test_chinese_is_chinese_but_for_names_and_units():
    alike = {key for key, message in catalogue().items() if not re.search("[\u4e00-\u9fff]", message["zh"])}
    groups = {key.partition(".")[0] for key in alike}
    assert groups <= {"head", "axis", "alt", "name", "feature", "fact", "diff", "unit", "fleet_row"}, alike
    assert len(alike) < 30, alike


def test_every_key_in_the_code_is_in_the_catalogue():
    assert len(SAID) > 30
    assert set(catalogue()) >= SAID


def test_no_key_is_dead():
    quoted = set(re.findall(r"""['"]([\w. *-]+)['"]""", SOURCES)) | _RECORDED
    parts = {key: key.partition(".")[2] for key in catalogue() if key.partition(".")[0] in COMPOSED}
    assert not [
        key
        for key in catalogue()
        if key not in quoted
        and parts.get(key) not in quoted
        and not key.startswith(("name.", "unit.", "run.", "statistic.", "setting.", "latency.", "about."))
    ]


_RECORDED = {
    "not selected", "not reached", "near tie", "real", "length", "unknown", "hit", "miss", "truncated",
    "rejected", "out_of_memory", "cut", "timeout", "running", "finished", "interrupted", "contract",
    "fleet.answers", "fleet.logprobs", "fleet.ttft", "fleet.tpot", "fleet.repeat", "fleet.configuration",
    "assurance", "positions up to 128", "positions beyond 128", "common tokens", "rare tokens", "serve line",
}  # fmt: skip
"""Words of the document itself, which the renderers pass on."""


def test_names_and_units():
    say = Wording("en")
    assert say.name("precision.rouge_l") == "ROUGE-L"
    assert say.name("needle.recall.d025-32k") == "Needle recall d025-32k"
    assert say.name("ours.answer_length") == "ours.answer_length"
    assert say.figure(0.94999, "share", apart_from=0.95) == "0.94999"
    assert say.figure(None, "ms") == "-"
    assert say.figure(3, "outputs") == "3 outputs"
    assert Wording("zh").figure(3, "outputs") == "3 个输出"
    with pytest.raises(KeyError):
        say("no such key")


@pytest.fixture
def said(monkeypatch):
    """Keys that renderings in the test have asked for."""
    asked = set()
    say = Wording.__call__

    def note(self, key, **values):
        asked.add(key)
        return say(self, key, **values)

    monkeypatch.setattr(Wording, "__call__", note)
    return asked


def test_no_part_of_a_group_is_dead(said):
    """Heads, sections and the like are put together where they are used: what is never asked for is dead."""
    documents = [diagnosed(with_open_load(recorded(name))) for name in RECORDED]
    documents[0]["measurements"]["edges"] = [
        {"edge": "npu-cpu", "device": "npu", "perplexity_ratio": 1.0, "kl": 0.01, "n": 8}
    ]
    documents.append(with_capacity(recorded("passing")))
    documents.append(fleet_document(3, odd={"node-01": {"tpot": 0.1}}, whole=False))
    documents[0]["devices"][0]["problem"] = "does not answer"
    documents[0]["measurements"]["load"]["levels"][0]["tokens_per_event"] = 8.0
    documents[0]["run"] |= {"replay_of": "elsewhere", "recorded": ["greedy-gpu"], "info": {"rack": "7"}}
    documents[0]["measurements"]["configurations"] = {
        "first": "npu", "finding": None,
        "configurations": [
            {"device": "npu", "label": None, "against_gpu": {"rouge_l": None}, "against_first": {}}
        ],
    }  # fmt: skip
    with_history(documents[0])
    documents[1] = with_features(documents[1])
    for document in documents:
        markdown(document)
        html(document)
    for group in ("head", "section", "fact", "setting", "latency", "chart", "axis", "feature", "heat"):
        assert {key for key in catalogue() if key.startswith(f"{group}.")} <= said, group


@pytest.mark.parametrize("name", profile_names())
def test_every_unit_and_statistic_of_a_profile_is_in_the_catalogue(name):
    profile = load_profile(name)
    units = {row.unit for row in profile.thresholds.values()} - set(PLAIN_UNITS)
    assert {f"unit.{unit}" for unit in units} <= set(catalogue())
    known = {each for name in ("ttft.c01", "qps.c16") for each in metric_named(name).statistics}
    assert {f"statistic.{each}" for each in known if not each.startswith("p")} <= set(catalogue())


def test_a_percentage_stands_close_to_its_figure():
    assert Wording("en").figure(0.5, "% of PPL(GPU)") == "0.5% of PPL(GPU)"
    assert Wording("zh").figure(0.5, "% of PPL(GPU)") == "0.5%（相对 PPL(GPU)）"


def test_times_say_that_they_are_utc():
    assert Wording("en").when("2026-11-26T21:04:05.123+00:00") == "2026-11-26 21:04:05 UTC"
