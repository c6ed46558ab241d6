"""On GitHub a run's tables stand in the step's summary, and its failures are annotations."""

import pytest
from documents import hostile, recorded

from pytest_gptoss.plugin.github_summary import VARIABLE, tell_github
from pytest_gptoss.report.formats.markdown import markdown
from pytest_gptoss.report.github import LARGEST, failure_lines, step_summary
from pytest_gptoss.report.wording import Wording


def test_the_summary_is_the_markdown_report():
    assert step_summary(recorded("failing"), "en") == markdown(recorded("failing"), "en")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("room", [0, 10, 200, 1000, 5000])
def test_what_is_too_long_is_cut_at_a_line_and_says_so(language, room):
    text = step_summary(recorded("failing"), language, room=room)
    note = Wording(language)("github.cut")
    assert len(text.encode()) < max(room, 1)
    assert not text or text.endswith(f"{note}\n")
    whole = markdown(recorded("failing"), language)
    assert whole.startswith(text.removesuffix(f"\n{note}\n"))


def test_a_hostile_run_stays_under_the_limit_and_breaks_no_command():
    document = hostile(prompts=20)
    for row in document["verdicts"]:
        row["verdict"] = "FAIL"
    document["verdicts"][0]["threshold_id"] = "a:b,c%\r\n::error::x"
    assert len(step_summary(document, "en").encode(errors="replace")) < LARGEST
    lines = failure_lines(document)
    assert lines[0].startswith("::error title=FAIL npu-a%3Ab%2Cc%25")
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 11
    assert lines[-1].startswith("::notice title=pytest-gptoss::and ")


def test_a_row_that_passed_is_no_annotation():
    assert failure_lines(recorded("passing")) == []
    document = recorded("failing")
    failed = [row for row in document["verdicts"] if row["verdict"] in ("FAIL", "INVALID")]
    assert len(failure_lines(document)) == len(failed)


def test_the_file_that_github_names_is_added_to(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert tell_github(recorded("failing"), "en") == []
    file = tmp_path / "summary.md"
    file.write_text("before\n", "utf-8")
    monkeypatch.setenv(VARIABLE, str(file))
    assert tell_github(recorded("failing"), "en")
    assert file.read_text("utf-8") == "before\n" + markdown(recorded("failing"), "en")
    file.write_bytes(b"x" * LARGEST)
    tell_github(recorded("failing"), "en")
    assert file.stat().st_size == LARGEST
    assert tell_github(None, "en") == []
