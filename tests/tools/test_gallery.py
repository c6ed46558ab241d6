"""The gallery: every sample is rendered; its picture is checked in, small, and shown in the documentation."""

import shutil
from pathlib import Path

import gallery
import pytest

ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "tests" / "report" / "runs"
PNG = b"\x89PNG\r\n\x1a\n"


def test_every_sample_is_rendered(tmp_path, capsys):
    assert gallery.main(["--runs", str(STORED), "--pages", str(tmp_path), "--pages-only"]) == 0
    for sample in (*gallery.SAMPLES, gallery.README_SAMPLE):
        text = (tmp_path / f"{sample.name}.html").read_text("utf-8")
        assert text.startswith("<!doctype html>"), sample.name
        assert f'<html lang="{sample.language}">' in text


@pytest.mark.parametrize("sample", gallery.SAMPLES, ids=lambda each: each.name)
def test_every_picture_is_there_small_and_shown(sample):
    content = (gallery.PICTURES / f"{sample.name}.png").read_bytes()
    assert content.startswith(PNG)
    assert len(content) < 120_000
    page = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    assert f"(assets/gallery/{sample.name}.png)" in page


def test_nothing_else_lies_among_the_pictures():
    assert {path.stem for path in gallery.PICTURES.iterdir()} == {sample.name for sample in gallery.SAMPLES}


def test_without_runs_the_recorder_makes_them(monkeypatch, capsys):
    """They are of this version, and their sentences can be said in Chinese; the stored ones lack that."""
    started = []
    monkeypatch.setattr(gallery.subprocess, "run", lambda command, **_: started.append(command))
    assert gallery.record() == gallery.RUNS
    (command,) = started
    assert command[1:3] == [str(ROOT / "tests/report/record_runs.py"), "--output"]
    assert command[4:] == ["failing", "invalid", "passing"]


def test_without_a_browser_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gallery, "BROWSERS", ())
    assert gallery.main(["--pages", str(tmp_path)]) == 1
    assert "apt-get install chromium" in capsys.readouterr().err


def test_a_picture_is_taken_of_a_part(tmp_path):
    browser = next((found for name in gallery.BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium: no picture is taken")
    (forks,) = (sample for sample in gallery.SAMPLES if sample.name == "forks")
    taken = gallery.picture(forks, gallery.render(forks, STORED, tmp_path), tmp_path, browser)
    assert taken.read_bytes().startswith(PNG)
    assert taken.stat().st_size > 5_000, "an empty page"
