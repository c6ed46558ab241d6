"""A report document that somebody else wrote: checked before it is rendered, text wherever shown."""

import copy
import json
import re

import pytest
from browser import EXECUTABLE, Browser
from documents import HERE, RECORDED, diagnosed, recorded, with_features, with_load

from pytest_gptoss.cli.main import main
from pytest_gptoss.report.files import read_document, write_reports
from pytest_gptoss.report.formats.html import html
from pytest_gptoss.report.schema import faults, unbounded, validator

ATTACK = (
    "\"'></title></style></script></svg>--><script>alert(1)</script><img src=http://127.0.0.1:9/x "
    "onerror=alert(2)><svg onload=alert(3)><a href=javascript:alert(4) autofocus onfocus=alert(5)>x</a>"
    "<iframe src=http://127.0.0.1:9/f></iframe><base href=http://127.0.0.1:9/><meta http-equiv=refresh "
    "content='0;url=http://127.0.0.1:9/r'><style>@import 'http://127.0.0.1:9/c';</style>"
    ";background:url(http://127.0.0.1:9/u) {{7*7}} &lt;b&gt; ` \x00\x1b[2J \u202e"
)
"""Breaks out of attributes, elements, comments, style and scripts, and asks for something everywhere."""


def _whole(name="failing"):
    """A document with something in every part that is shown."""
    document = with_features(diagnosed(with_load(recorded(name))))
    cell = {"threshold_id": "precision.kl", "value": 0.5, "comparison": "<=", "limit": 1.0, "unit": "nat",
            "verdict": "FAIL"}  # fmt: skip
    document["measurements"]["configurations"] = {
        "first": "npu", "finding": "departs: npu from gpu",
        "configurations": [
            {"device": "npu", "label": "NPU", "against_gpu": {"kl": cell}, "against_first": {"kl": None},
             "departs_from": ["gpu"]}
        ],
    }  # fmt: skip
    document["run"]["changed_limits"] = {
        "precision.kl": {"from": 1.0, "to": 2.0, "statistic_from": "mean", "statistic_to": "max"}
    }
    document["run"]["waivers"] = {"precision.rouge_l": "because"}
    document["run"]["info"] = {"rack": "7"}
    document["run"]["recorded"] = ["greedy-gpu"]
    document["run"]["replay_of"] = "elsewhere"
    document["measurements"]["scenarios"][0]["left_out"] = {"long": "too long"}
    document["measurements"]["load"]["instrument"]["problem"] = "not calibrated"
    for device in document["devices"]:
        device["problem"] = "a problem"
    for row in document["verdicts"]:
        row["details"]["note"] = "a note"
    return document


def _strings(value, path=()):
    """Paths to all strings, and to all objects with their keys."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _strings(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _strings(each, (*path, index))


def _put(document, path, value):
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value


def _all_hostile(document):
    """Every string that the schema leaves free is an attack as long as it may be, and so are free keys."""
    found = copy.deepcopy(document)
    paths = list(_strings(document))
    for path in paths:
        _put(found, path, ATTACK)
    for attack in (lambda path: ATTACK[:190], lambda path: _at(document, path)):
        for path in _refused(found):
            _put(found, path, attack(path))
    assert sum(_at(found, path).startswith(ATTACK[:190]) for path in paths) > 300
    run = found["run"]
    run["waivers"] = {ATTACK: ATTACK}
    run["info"] = {ATTACK: ATTACK}
    run["versions"][ATTACK] = ATTACK
    run["settings"][ATTACK] = ATTACK
    run["changed_limits"] = {ATTACK: run["changed_limits"].pop("precision.kl")}
    found["measurements"]["scenarios"][0]["left_out"] = {ATTACK: ATTACK}
    row = found["measurements"]["configurations"]["configurations"][0]
    row["against_gpu"] = {ATTACK: row["against_gpu"].pop("kl")}
    return found


def _refused(document):
    """Paths of the strings that the schema refuses."""
    return [tuple(error.absolute_path) for error in validator().iter_errors(document)]


def _at(value, path):
    for step in path:
        value = value[step]
    return value


def _stored(document, directory):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "acceptance.json").write_text(json.dumps(document), "utf-8")
    return read_document(directory)


@pytest.fixture(scope="module")
def attacked():
    document = _whole()
    document["measurements"]["prompts"] = [
        each for each in document["measurements"]["prompts"] if each["diff"]
    ][:3]
    return _all_hostile(document)


@pytest.fixture(scope="module")
def pages(attacked):
    return {language: html(attacked, language) for language in ("en", "zh")}


@pytest.mark.parametrize("name", RECORDED)
def test_what_runs_write_keeps_the_schema(name):
    document = json.loads((HERE / name / "acceptance.json").read_text("utf-8"))
    assert (faults(document), unbounded(document)) == ([], None)


def test_the_hostile_document_is_one_that_the_schema_cannot_refuse(attacked, tmp_path):
    assert _stored(attacked, tmp_path)["run"]["waivers"] == {ATTACK: ATTACK}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_string_is_text_in_the_page(language, pages):
    page = pages[language]
    body = page[page.index("</style>") :]
    for raw in ("<script", "<img", "<iframe", "<base", "@import 'http", "onload=alert(3)><a"):
        assert raw not in body.replace("&lt;", "")
    assert [
        each for each in re.findall(r"\sid=\"([^\"]*)\"", page) if not re.fullmatch(r"[\w.-]+", each)
    ] == []
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    assert "script-src 'none'" in policy
    assert "default-src 'none'" in policy
    assert page.index("Content-Security-Policy") < page.index("<title>")


@pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium: install it to see the page opened")
def test_in_a_browser_nothing_runs_and_nothing_is_asked_for(pages, tmp_path):
    browser = Browser(tmp_path / "profile")
    try:
        for language in ("en", "zh"):
            page = tmp_path / f"{language}.html"
            page.write_text(pages[language], "utf-8")
            browser.open(page, width=1280)
            assert browser.dialogs == []
            assert browser.requests == [page.as_uri()]
            assert browser.complaints == []
            assert browser.ask("document.querySelectorAll('script, img, iframe, base, svg a').length") == 0
            assert browser.ask("document.title.length") > 5
        # The test would see it: the same page with an attack unescaped, and without its policy.
        text = page.read_text("utf-8")
        assert "script-src" in text
        open_page = tmp_path / "open.html"
        open_page.write_text(re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</main>", ATTACK), "utf-8")
        browser.open(open_page, width=1280)
        assert browser.dialogs
        assert len(browser.requests) > 1
    finally:
        browser.close()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("devices", 0, "name"), '"><script>alert(1)</script>'),
        (("devices", 0, "name"), ""),
        (("devices", 0, "role"), "constructor"),
        (("verdicts", 0, "npu"), "n" * 201),
        (("verdicts", 0, "verdict"), "pass"),
        (("verdicts", 0, "unit"), "u" * 201),
        (("verdicts", 0, "value"), "0.5"),
        (("verdicts", 0, "limit"), float("nan")),
        (("verdicts", 0, "n"), 10**400),
        (("verdicts", 0, "reason"), "r" * 1_000_001),
        (("measurements", "needles", 0, "outcome"), "<b>"),
        (("measurements", "needles", 0, "device"), "../x"),
        (("measurements", "load", "levels", 0, "ttft_ms", "curve"), ["x"]),
        (("measurements", "load", "levels", 0, "ttft_ms", "p50"), float("inf")),
        (("measurements", "prompts", 0, "fork"), {"index": 1}),
        (("run", "started"), "yesterday"),
        (("run", "needle"), None),
        (("run", "settings"), json.loads("[" * 60 + "]" * 60)),
        (("measurements", "notes"), [1]),
    ],
)
def test_a_document_that_is_none_is_refused_in_a_line(path, value, tmp_path, capsys):
    document = _whole()
    _put(document, path, value)
    (tmp_path / "acceptance.json").write_text(json.dumps(document), "utf-8")
    assert main(["report", str(tmp_path)]) == 4
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert len(error) < 1200
    assert str(path[0]) in error
    assert not (tmp_path / "acceptance.html").exists()


def test_words_of_an_unknown_kind_are_shown_as_they_are(tmp_path):
    """A project's own thresholds, metrics and servers bring names of their own."""
    document = _whole()
    document["verdicts"][0] |= {"threshold_id": "mine.speed", "family": "mine", "unit": "furlongs"}
    document["devices"][0]["label"] = "昇腾 910B <2>"
    document["measurements"]["info"][0]["name"] = "mine"
    read = _stored(document, tmp_path)
    write_reports(tmp_path, read, names=("html", "md", "junit", "json"), language="zh")
    assert "昇腾 910B &lt;2&gt;" in (tmp_path / "acceptance.html").read_text("utf-8")
