"""The site builds without a warning and needs nothing from elsewhere."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("material", reason="the extra docs is not installed")
pytest.importorskip("mkdocstrings", reason="the extra docs is not installed")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    built = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(built)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return built


def test_it_loads_nothing_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        text = page.read_text("utf-8")
        assert not re.findall(r"<(?:script|img|iframe)[^>]+src=\"?(?:https?:)?//", text), page.name
        loaded = re.findall(r"<link[^>]+>", text)
        assert not [
            link for link in loaded if "stylesheet" in link and re.search(r"href=\"?(?:https?:)?//", link)
        ]


def test_public_names_are_documented(site):
    text = (site / "api.html").read_text("utf-8")
    for name in ("metric", "Metric", "Roles", "Measurement", "Greedy", "Needle", "Estimate", "Threshold"):
        assert re.search(rf'id="pytest_gptoss\.[\w.]*\.{name}"', text), name


def test_the_search_finds_the_heading_of_a_message(site):
    entries = json.loads((site / "search" / "search_index.json").read_text("utf-8"))["docs"]
    found = [each["location"] for each in entries if "token events came buffered" in each["text"]]
    assert "troubleshooting.html#buffered" in found
