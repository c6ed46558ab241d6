"""Makes sample runs of the embedded servers, renders their reports, and takes pictures of them.

    python tools/gallery.py [--runs DIR] [--pages DIR] [--pictures DIR] [--pages-only]

The runs are real ones, made by ``tests/report/record_runs.py`` in a few minutes; with ``--runs`` those of a
folder are shown instead. The pages are whole reports (``DIR/NAME.html``). The pictures are small PNG files
that the documentation shows; they need Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_gptoss.model.language import Language
from pytest_gptoss.report.files import read_document
from pytest_gptoss.report.formats.html import html

ROOT = Path(__file__).resolve().parent.parent
RECORDER = ROOT / "tests" / "report" / "record_runs.py"
PAGES = ROOT / "build" / "gallery"
RUNS = PAGES / "runs"
PICTURES = ROOT / "docs" / "assets" / "gallery"

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NO_BROWSER = (
    f"no Chromium ({', '.join(BROWSERS)}): install it (Debian: apt-get install chromium fonts-noto-cjk), "
    "or render pages alone with --pages-only"
)
WIDTH = 1000
"""Width of the window in CSS pixels."""
SCALE = 0.7
"""Pixels of a picture to one CSS pixel."""
COLOURS = 256
"""Colours that a picture keeps; with fewer, red and green marks lose their colour."""


@dataclass(frozen=True)
class Sample:
    """A page of a run, and the part of it that the picture shows.

    ``hidden`` is a CSS selector of what the picture leaves out, empty for nothing. ``height`` is the
    window's, in CSS pixels.
    """

    name: str
    run: str
    language: Language = "en"
    hidden: str = ""
    height: int = 1400


ALL_BUT_FORKS = "header, main > :not(#precision), #precision > :not(h3, .diff)"
SAMPLES = (
    Sample("passing", "passing"),
    Sample("failing", "failing"),
    Sample("forks", "failing", hidden=ALL_BUT_FORKS, height=620),
    Sample("invalid", "invalid"),
    Sample("chinese", "failing", "zh"),
)
README_SAMPLE = Sample("report", "passing", height=1105)
"""The picture in the READMEs, ``docs/assets/report.png``."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, metavar="DIR", help="folder of finished runs to show")
    parser.add_argument("--pages", type=Path, default=PAGES, metavar="DIR", help="folder of the HTML pages")
    parser.add_argument("--pictures", type=Path, default=PICTURES, metavar="DIR", help="folder of the PNGs")
    parser.add_argument("--pages-only", action="store_true", help="no pictures, no browser")
    known = parser.parse_args(arguments)
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None and not known.pages_only:
        print(NO_BROWSER, file=sys.stderr)
        return 1
    runs = known.runs or record()
    for sample in (*SAMPLES, README_SAMPLE):
        page = render(sample, runs, known.pages)
        print(page)
        if browser and not known.pages_only:
            folder = known.pictures.parent if sample is README_SAMPLE else known.pictures
            print(picture(sample, page, folder, browser))
    return 0


def record() -> Path:
    """Make the samples' runs anew; returns their folder. Raises CalledProcessError where one fails."""
    names = sorted({sample.run for sample in SAMPLES})
    print(f"recording runs, some minutes: {', '.join(names)}", flush=True)
    subprocess.run([sys.executable, str(RECORDER), "--output", str(RUNS), *names], check=True)
    return RUNS


def render(sample: Sample, runs: Path, folder: Path) -> Path:
    """Write the page of a sample's run below ``runs``; returns its file."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{sample.name}.html"
    page.write_text(html(read_document(runs / sample.run), sample.language), "utf-8")
    return page.resolve()


def picture(sample: Sample, page: Path, folder: Path, browser: str) -> Path:
    """Write a sample's picture; returns its file. Raises OSError when the browser made none."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = folder.resolve() / f"{sample.name}.png"
    taken.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        shown = Path(scratch, "page.html")
        style = f"<style>{sample.hidden} {{display: none}}</style></head>" if sample.hidden else "</head>"
        shown.write_text(page.read_text("utf-8").replace("</head>", style, 1), "utf-8")
        done = subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                f"--user-data-dir={scratch}/profile", f"--window-size={WIDTH},{sample.height}",
                f"--force-device-scale-factor={SCALE}", f"--screenshot={taken}",
                shown.as_uri(),
            ],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    if not taken.exists():
        raise OSError(f"{browser} made no picture of {page}: {done.stderr[-500:]}")
    _fewer_colours(taken)
    return taken


def _fewer_colours(path: Path) -> None:
    """Write a PNG again with a palette; without Pillow (it comes with the extra ``report``) it stays."""
    try:
        from PIL import Image
    except ImportError:
        return
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
