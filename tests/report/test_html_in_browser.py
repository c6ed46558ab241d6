"""acceptance.html as a person opens it: in a browser, on a desk and on a phone, in the dark, by keyboard."""

import pytest
from browser import EXECUTABLE, Browser
from documents import RECORDED, diagnosed, hostile, recorded, stored, with_history, with_load
from fleets import fleet_document

from pytest_gptoss.report.formats.html import html

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium: install it to see the page opened")

OVERFLOW = """
[...document.querySelectorAll("main *")]
  .filter(each => !each.closest("svg, .unseen, thead") && each.getClientRects().length
    && each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(each => each.tagName + "." + each.className)
"""
HEIGHTS = "[...document.querySelectorAll('{}')].map(each => each.getBoundingClientRect().height)"
FOLDED = (
    "[...document.querySelectorAll('details:not([open]) table')]"
    ".filter(each => !each.getClientRects().length)"
)
CONTRAST = """
(() => {
  const channel = value => {
    value /= 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = (colour, under) => {
    canvas.fillStyle = under; canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const page = getComputedStyle(document.body).backgroundColor;
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return colour;
    }
    return page;
  };
  const found = [];
  const texts = ".mark, .soft, .flag, .word, td, th, caption, summary, a, .token";
  for (const element of document.querySelectorAll(texts)) {
    if (!element.textContent.trim() || !element.getClientRects().length) continue;
    const below = rgb(behind(element), page), ink = rgb(getComputedStyle(element).color, page);
    const [high, low] = [light(below), light(ink)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const name = element.className || element.tagName;
    if (ratio < 4.5) found.push([name, element.textContent.slice(0, 20), ratio]);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Files of every run; the failing one with load and diagnosis, in Chinese; and the hostile one."""
    folder = tmp_path_factory.mktemp("pages")
    documents = {name: recorded(name) for name in RECORDED}
    documents["failing"] = with_history(diagnosed(with_load(documents["failing"])))
    documents["hostile"] = stored(hostile(60), folder)
    odd = {"node-17": {"logprobs": 1234.5, "answers": 16}, "node-42": {"tpot": 0.0834}}
    documents["fleet"] = fleet_document(64, odd=odd, dead=("node-05",), whole=False)
    for name, document in documents.items():
        (folder / f"{name}.html").write_text(html(document, "zh" if name == "failing" else "en"), "utf-8")
    return {name: folder / f"{name}.html" for name in documents}


@pytest.mark.parametrize("name", [*RECORDED, "hostile", "fleet"])
def test_it_opens_on_a_phone_without_a_complaint(name, browser, pages):
    browser.open(pages[name], width=390)
    assert browser.ask("innerWidth") == 390
    assert browser.complaints == []
    assert browser.requests == [pages[name].as_uri()]
    assert browser.ask(OVERFLOW) == []
    assert browser.ask("document.documentElement.scrollWidth") == 390
    browser.ask("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.ask(OVERFLOW) == []
    assert browser.ask("document.documentElement.scrollWidth") == 390
    drawn = browser.ask(HEIGHTS.format("svg"))
    assert len(drawn) == pages[name].read_text("utf-8").count("<svg")
    assert drawn or name not in ("passing", "failing", "hostile")
    assert all(100 < height < 400 for height in browser.ask(HEIGHTS.format("figure svg")))
    assert all(20 < height < 40 for height in browser.ask(HEIGHTS.format(".past svg")))
    assert all(height > 6 for height in browser.ask(HEIGHTS.format("svg text")))


def test_it_would_be_heard_if_it_complained(browser, pages, tmp_path):
    broken = tmp_path / "broken.html"
    text = pages["passing"].read_text("utf-8")
    bad = "<script>alert(1)</script><img src='http://127.0.0.1:9/x'></main>"
    broken.write_text(text.replace("</main>", bad), "utf-8")
    browser.open(broken, width=390)
    assert any("Content Security Policy" in each for each in browser.complaints)
    wide = tmp_path / "wide.html"
    wide.write_text(text.replace("</main>", "<div style='width: 900px'>wide</div></main>"), "utf-8")
    browser.open(wide, width=390)
    assert browser.ask(OVERFLOW) == ["DIV."]


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_readable_by_day_and_by_night(dark, browser, pages):
    browser.open(pages["failing"], width=1280, dark=dark)
    background = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") != dark
    assert browser.ask(CONTRAST) == []
    assert browser.ask(OVERFLOW) == []


CUT = """
[...document.querySelectorAll(".matrix td, .matrix th")].filter(each => each.scrollWidth > each.clientWidth)
  .map(each => each.textContent)
"""


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1280, False), (1280, True)])
def test_64_nodes_are_a_line_each_with_their_heads_in_sight(width, dark, browser, pages):
    browser.open(pages["fleet"], width=width, dark=dark)
    browser.ask("document.querySelectorAll('#fleet details').forEach(each => each.open = true)")
    assert browser.ask(CUT) == []
    assert browser.ask(CONTRAST) == []
    heights = browser.ask(HEIGHTS.format(".matrix tbody tr"))
    assert len(heights) == 64
    assert max(heights) < 32
    browser.ask("window.scrollTo({top: document.querySelector('#fleet details').offsetTop + 600,"
                " behavior: 'instant'})")  # fmt: skip
    head = "document.querySelector('#fleet details thead th').getBoundingClientRect().top"
    assert browser.ask("window.scrollY") > 500
    assert browser.ask(head) == 0


def test_everything_is_reached_by_keyboard(browser, pages):
    browser.open(pages["failing"], width=1280)
    for _ in range(3):
        browser.press("Tab", 9)
    assert browser.ask("document.activeElement.tagName") == "A"
    reachable = browser.ask("[...document.querySelectorAll('a, summary')].every(each => each.tabIndex >= 0)")
    assert reachable
    browser.ask("document.querySelector('details.diff:not([open]) summary').focus()")
    browser.press("Enter", 13, "\r")
    assert browser.ask("document.activeElement.parentElement.open") is True


def test_it_prints_with_everything_unfolded(browser, pages):
    browser.open(pages["failing"], width=1280, dark=True)
    browser("Emulation.setEmulatedMedia", media="print", features=[])
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.ask("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.ask(f"{FOLDED}.length") == 0
    browser("Emulation.setEmulatedMedia", media="", features=[])
