"""Only what a log gained during the run is read; a log begun anew is read from its beginning."""

import pytest

from pytest_gptoss.model.stored_json import typed
from pytest_gptoss.scenarios.server_log import LogMark, gained, last_start, mark


def test_what_stood_there_before_is_not_read(tmp_path):
    log = tmp_path / "npu.log"
    log.write_text("old one\nold two\n")
    start = typed(LogMark, mark(log).document())
    assert list(gained(start)) == []
    with log.open("a") as file:
        file.write("new one\r\nnew two")
    assert list(gained(start)) == [(3, "new one"), (4, "new two")]


def test_a_line_that_was_half_written_goes_on(tmp_path):
    log = tmp_path / "npu.log"
    log.write_text("one\nhalf")
    start = mark(log)
    with log.open("a") as file:
        file.write(" done\nnext\n")
    assert list(gained(start)) == [(2, " done"), (3, "next")]


def test_a_shorter_or_another_file_was_begun_anew(tmp_path):
    log = tmp_path / "npu.log"
    log.write_text("a long old line\n")
    start = mark(log)
    log.write_text("new\n")
    assert list(gained(start)) == [(1, "new")]
    other = tmp_path / "rotated"
    other.write_text("rotated and much longer than the old one was\n")
    other.replace(log)
    assert [number for number, _ in gained(start)] == [1]


def test_bytes_that_are_no_text_do_no_harm(tmp_path):
    log = tmp_path / "npu.log"
    log.write_bytes(b"")
    start = mark(log)
    log.write_bytes(b"\xff\xfeNPU out of memory\n")
    ((number, text),) = gained(start)
    assert number == 1
    assert text.endswith("NPU out of memory")


WORDS = "INFO 11-22 10:00:01 [api_server.py:1] vLLM API server version 0.18.0\n"
LOGO = "INFO        █     █     █▄   ▄█\nINFO  ▄▄ ▄█ █     █     █ ▀▄▀ █  version \x1b[1m0.32.0\x1b[0m\n"


@pytest.mark.parametrize("beginning", [WORDS, LOGO, "INFO vLLM server version 0.32.0, serving model m\n"])
def test_the_last_start_alone_is_read(tmp_path, beginning):
    log = tmp_path / "npu.log"
    log.write_text(f"{beginning}NPU out of memory\n{beginning}mxfp4 is not supported\nend\n", "utf-8")
    texts = [text for _, text in last_start(mark(log))]
    assert texts[-2:] == ["mxfp4 is not supported", "end"]
    assert "NPU out of memory" not in texts
    lines = log.read_text("utf-8").splitlines()
    assert all(lines[number - 1] == text for number, text in last_start(mark(log)))


def test_a_log_without_a_beginning_is_read_whole(tmp_path):
    log = tmp_path / "npu.log"
    log.write_text("Traceback (most recent call last):\nImportError: libascendcl.so\n")
    assert [number for number, _ in last_start(mark(log))] == [1, 2]


def test_a_server_that_crashes_over_and_over_loses_no_line_of_this_run(tmp_path):
    log = tmp_path / "npu.log"
    log.write_text(f"{WORDS}old\n{WORDS}before\n")
    start = mark(log)
    assert [text for _, text in last_start(start)][1:] == ["before"]
    with log.open("a") as file:
        file.write(f"gained\n{WORDS}last\n")
    assert [number for number, _ in last_start(start)] == [5, 6, 7]
