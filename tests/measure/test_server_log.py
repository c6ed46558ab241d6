"""Only what a log gained during the run is read; a log begun anew is read from its beginning."""

from pytest_gptoss.measure.server_log import LogMark, gained, mark
from pytest_gptoss.stored_json import typed


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
