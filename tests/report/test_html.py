"""acceptance.html as a file: complete, accessible, offline, and safe against what servers say."""

import re
import sys
from html.parser import HTMLParser

import pytest
from documents import RECORDED, diagnosed, hostile, recorded, stored, with_history, with_load

from pytest_gptoss.model.errors import MissingExtra
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.report.formats.html import html
from pytest_gptoss.report.headline import verdict_words
from pytest_gptoss.report.ranges import range_groups
from pytest_gptoss.report.wording import Wording

VOID = {"meta", "link", "br", "img", "hr", "input"}
MOST_BYTES = 5_000_000


class Page(HTMLParser):
    """A page's elements with their attributes and its text; unbalanced tags are an error."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def pages():
    """Pages of every recorded run, in both languages, with load and diagnosis added to the failing one."""
    documents = {name: recorded(name) for name in RECORDED}
    documents["failing"] = with_history(diagnosed(with_load(documents["failing"])))
    return {
        (name, language): html(document, language)
        for name, document in documents.items()
        for language in (LANGUAGES if name == "failing" else ("en",))
    }


def test_every_run_gives_a_page_that_opens_offline(pages):
    for text in pages.values():
        page = Page(text)
        assert len(text.encode()) < MOST_BYTES
        assert not page.all("script", "iframe", "object", "embed", "form", "img", "base")
        linked = [
            value
            for tag, attributes in page.elements
            for name, value in attributes.items()
            if name in ("src", "href", "xlink:href", "action", "srcset", "data")
        ]
        assert linked
        assert all(value.startswith("#") or value == "data:," for value in linked)
        assert "@import" not in text
        assert not re.search(r"url\((?!#)", text)
        policy = next(each for each in page.all("meta") if "http-equiv" in each)
        assert policy["content"].startswith("default-src 'none'")


def test_it_is_accessible(pages):
    for (_, language), text in pages.items():
        page = Page(text)
        assert page.all("html")[0]["lang"] == language
        assert page.all("title")
        assert page.all("meta")[1]["name"] == "viewport"
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        targets = {a["href"][1:] for a in page.all("a")}
        assert targets <= set(ids)
        assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
        plots = [svg for svg in page.all("svg") if "tone-" not in svg.get("class", "")]
        assert len(page.all("figure")) == len(plots) == len(page.all("figcaption"))
        assert all("scope" in head for head in page.all("th"))
        assert len(page.all("table")) == len(page.all("caption"))
        assert next(tag for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)) == "h1"
        ranges = [each for each in page.all("div") if each.get("class", "").startswith("range")]
        assert ranges
        assert all(each["role"] == "img" and each["aria-label"] for each in ranges)


def test_the_verdict_stands_first_and_every_row_is_there(pages):
    for (name, language), text in pages.items():
        page, say = Page(text), Wording(language)
        words = "".join(page.text)
        document = recorded(name)
        verdict = verdict_words(document, say)
        assert words.index(verdict) < words.index(say("section.thresholds"))
        body = text[text.index("<main") :]
        for row in document["verdicts"]:
            assert body.count(row["threshold_id"]) >= 1
        failed = [row for row in document["verdicts"] if row["verdict"] in ("FAIL", "INVALID", "WAIVED")]
        attention = body[body.index('id="attention"') : body.index('id="thresholds"')]
        assert all(row["threshold_id"] in attention for row in failed)


def test_everything_that_was_measured_is_drawn(pages):
    ids = [figure["id"] for figure in Page(pages["failing", "zh"]).all("figure")]
    assert len(set(ids)) == len(ids)
    assert {each.rpartition("-")[0] for each in ids} == {
        "plot-forks", "plot-agreement", "plot-kl", "plot-needle", "plot-ttft", "plot-tpot",
        "plot-throughput", "plot-qps", "plot-ttft_dist", "plot-itl_dist",
    }  # fmt: skip
    text = pages["failing", "en"]
    assert text.count('<details class="diff"') == sum(
        1 for prompt in recorded("failing")["measurements"]["prompts"] if prompt["fork"]
    )
    assert "EZ9999: capture error" in text
    assert "plot-forks" not in pages["interrupted", "en"]


def test_colours_are_the_pages_own(pages):
    text = pages["failing", "en"]
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    painted = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", drawings))
    assert len(painted) > 3
    assert all(each == "none" or each.startswith("var(--hue-") for each in painted), painted
    variables = set(re.findall(r"var\((--[\w-]+)\)", text))
    assert variables - set(re.findall(r"(--[\w-]+):", text)) == set()


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory):
    return html(stored(hostile(), tmp_path_factory.mktemp("hostile")), "en")


def test_hostile_text_is_only_text(hostile_page):
    page = Page(hostile_page)
    assert not page.all("script", "img", "iframe")
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert "<script>alert" in "".join(page.text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\ufffe\ud800-\udfff]", hostile_page)
    assert "49" not in re.findall(r"\{\{ 7\*7 \}\}|49(?= \{% for)", hostile_page)
    assert "{{ 7*7 }}" in "".join(page.text)
    assert len(hostile_page.encode()) < MOST_BYTES
    assert max(map(len, page.text)) < 30_000


def test_figures_that_are_none_are_not_shown(hostile_page):
    words = "".join(Page(hostile_page).text)
    assert not re.search(r"\b(nan|inf|None)\b", words)


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    for package in ("matplotlib", "jinja2"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, package, None)
            with pytest.raises(MissingExtra, match=rf"{package}.*pip install 'pytest-gptoss\[report\]'"):
                html(recorded("passing"))


def test_what_lies_exactly_at_a_strict_limit_is_not_inside():
    document, say = recorded("passing"), Wording("en")
    row = next(row for row in document["verdicts"] if row["threshold_id"] == "performance.ttft.c01")
    row |= {"value": 100.0, "limit": 100.0, "headroom": 0.0, "verdict": "FAIL"}
    ranges = [each for group in range_groups(document, say) for each in group.rows]
    shown = next(each for each in ranges if each.id == row["threshold_id"])
    assert (shown.value, shown.limit, shown.headroom) == ("100 ms", "< 100 ms", say("headroom.at"))
    throughput = next(each for each in ranges if each.id == "performance.throughput.c16")
    assert throughput.headroom == "259.1 tok/s inside"
