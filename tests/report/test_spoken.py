"""Every sentence that reports quote has a Chinese template, and is made of one."""

import ast
import re
import string
from pathlib import Path

import pytest
from documents import recorded

import pytest_gptoss
from pytest_gptoss.diagnosis.signature_files import load_signatures
from pytest_gptoss.judge.known_defects import known_defects
from pytest_gptoss.model.message import (
    BOTH,
    EITHER,
    SENTENCES,
    WORDS,
    both,
    either,
    joined,
    listed,
    say,
    with_messages,
)
from pytest_gptoss.report.formats.html import html
from pytest_gptoss.report.formats.markdown import markdown
from pytest_gptoss.report.spoken import chinese_templates, in_chinese, spoken

PACKAGE = Path(pytest_gptoss.__file__).parent
ROOMS = (
    "diagnosis",
    "judge",
    "scenarios",
    "client",
    "run",
    "servers",
    "report/builders",
    "ledger/comparison.py",
    "model/errors.py",
    "model/sentinels.py",
    "plugin/report_parts.py",
)
"""Where sentences of reports are made."""
JOINED = {SENTENCES, WORDS, BOTH, EITHER}

TOLD = {
    "InsufficientData", "ConditionAbsent", "MeasurementError", "RequestError", "ConnectError", "UnknownHost",
    "TlsError", "RequestTimeout", "StatusError", "StreamError", "DialectError", "MiscountError",
    "ReferenceServerError", "WorkerError",
    "invalid", "skipped", "Failure",
}  # fmt: skip
"""What is called with a sentence that a report quotes."""
QUOTED = {"finding", "note", "trouble", "problem", "reason"}
"""Keys of documents, and arguments, whose sentences a report quotes."""


def _files():
    for room in ROOMS:
        place = PACKAGE / room
        yield from [place] if place.is_file() else sorted(place.rglob("*.py"))


def _tree(path):
    return ast.parse(path.read_text("utf-8"))


def _named(call):
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def _said():
    """The templates in the code, by the place of their calls."""
    for path in _files():
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say":
                yield f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}", node


def _tables():
    """Sentences of shipped tables: each is a template without fields."""
    signatures = load_signatures(())
    return {
        *(each.remedy for each in (*signatures.log, *signatures.symptoms)),
        *(text for each in known_defects() for text in (each.wrong, each.remedy)),
    }


LITERAL = [(place, node) for place, node in _said() if isinstance(node.args[0], ast.Constant)]
TEMPLATES = {node.args[0].value for _, node in LITERAL}


def _fields(template):
    return [
        (name, spec, how) for _, name, spec, how in string.Formatter().parse(template) if name is not None
    ]


def _sample(field):
    _, spec, _ = field
    return 1234 if spec in ("d", ",", ",d") else 0.25 if spec else "SAMPLE"


def test_every_template_has_its_chinese():
    lacking = sorted(TEMPLATES - set(chinese_templates()))
    assert not lacking, f"{len(lacking)} without Chinese: {lacking[:5]}"


def test_no_chinese_template_is_dead():
    dead = sorted(set(chinese_templates()) - TEMPLATES - JOINED - _tables())
    assert not dead, f"{len(dead)} that nothing says: {dead[:5]}"


def test_every_sentence_of_the_shipped_tables_has_its_chinese():
    lacking = sorted(_tables() - set(chinese_templates()))
    assert not lacking, f"{len(lacking)} without Chinese: {lacking[:5]}"


@pytest.mark.parametrize(("place", "node"), LITERAL, ids=[place for place, _ in LITERAL])
def test_every_template_renders_in_both_languages(place, node):
    template = node.args[0].value
    given = {each.arg for each in node.keywords}
    fields = _fields(template) if given else []
    assert {name for name, _, _ in fields} == given
    message = say(template, **{each[0]: _sample(each) for each in fields})
    chinese = chinese_templates()[template]
    if given:
        assert set(_fields(chinese)) == set(fields)
    found = in_chinese(message)
    assert found != message or not re.search("[a-z]{3}", re.sub(r"{\w+", "", template))
    assert all(text in found for text in message.values.values() if isinstance(text, str))


def test_templates_are_literals():
    """All but those of shipped tables, which the tables themselves hold."""
    composed = {
        place.partition(":")[0] for place, node in _said() if not isinstance(node.args[0], ast.Constant)
    }
    assert composed <= {"diagnosis/signatures.py", "diagnosis/run_diagnosis.py", "judge/known_defects.py"}


def _plain(node):
    """Whether an expression is a text with words that is no template."""
    if isinstance(node, ast.IfExp):
        return _plain(node.body) or _plain(node.orelse)
    if isinstance(node, ast.BinOp):
        return _plain(node.left) or _plain(node.right)
    if isinstance(node, ast.JoinedStr):
        return any(map(_plain, (each for each in node.values if isinstance(each, ast.Constant))))
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip()


def _told_plainly(tree):
    """Lines where a sentence that reports quote is no template."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _named(node) in TOLD:
            yield from (node.lineno for each in node.args if _plain(each))
        if isinstance(node, ast.Call):
            yield from (node.lineno for each in node.keywords if each.arg in QUOTED and _plain(each.value))
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in QUOTED and _plain(value):
                    yield node.lineno


def test_sentences_are_templates():
    plain = {}
    for path in _files():
        lines = sorted(set(_told_plainly(_tree(path))))
        if lines:
            plain[path.relative_to(PACKAGE).as_posix()] = lines
    assert not plain


def test_lists_are_said_in_chinese():
    both_of = both([listed([say("version"), "b"]), either(["c", "d"])])
    assert both_of == "version, b and c or d"
    assert in_chinese(both_of) == "版本、b 和 c 或 d"


def _document(reason):
    document = recorded("failing")
    document.pop("messages", None)
    rows = [{**row, "reason": reason} if row["verdict"] == "FAIL" else row for row in document["verdicts"]]
    return with_messages({**document, "verdicts": rows})


def test_a_report_says_its_sentences_in_chinese(monkeypatch):
    monkeypatch.setattr(
        "pytest_gptoss.report.spoken.chinese_templates",
        lambda: {"{n} tokens: {why}": "{n} 个 token：{why}", "lost": "丢失", "{sentences}": "{sentences}"},
    )
    document = _document(joined([say("{n} tokens: {why}", n=5, why=say("lost")), "it said <no>"]))
    for render in (markdown, html):
        assert "5 个 token：丢失；it said" in render(document, "zh")
        assert "5 tokens: lost; it said" in render(document, "en")
        assert "5 tokens: lost; it said" not in render(document, "zh")


def test_a_sentence_without_chinese_stays_english():
    document = _document(say("nobody says {what}", what=joined(["a", "b"])))
    assert spoken(document, "zh")["verdicts"] == document["verdicts"]


def test_a_document_without_messages_stays_as_it_is():
    document = recorded("passing")
    assert spoken(document, "zh") == document
