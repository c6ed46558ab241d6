"""The catalogue is complete, in both languages, and nothing in it is dead."""

import re
import string
from pathlib import Path

import pytest

from pytest_gptoss import report
from pytest_gptoss.report.wording import LANGUAGES, Wording, catalogue

PACKAGE = Path(report.__file__).parent
SOURCES = "\n".join(
    path.read_text("utf-8") for path in [*PACKAGE.glob("*.py"), *PACKAGE.glob("templates/*.j2")]
)
SAID = set(re.findall(r"""\bsay\(\s*['"]([\w. *-]+)['"]\s*[,)]""", SOURCES))
COMPOSED = {
    "head", "section", "status", "kind", "tier", "why", "outcome", "unit", "name", "run", "state", "role",
    "chart", "axis", "fact", "feature",
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
    assert groups <= {"head", "axis", "alt", "name", "feature", "fact", "diff"}, alike
    assert len(alike) < 25, alike


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
        and not key.startswith(("name.", "unit.", "run.", "statistic."))
    ]


_RECORDED = {
    "not selected", "not reached", "near tie", "real", "length", "unknown", "hit", "miss", "truncated",
    "rejected", "out_of_memory", "cut", "timeout", "running", "finished", "interrupted", "contract",
    "assurance", "info",
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
