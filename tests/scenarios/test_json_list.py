from __future__ import annotations

import os

import pytest

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.scenarios import json_list


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "absent.json"

    with pytest.raises(UsageError, match=r"absent\.json: there is no such file; check the path"):
        json_list.read(path)


def test_a_folder_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        json_list.read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_cannot_be_read(tmp_path):
    path = tmp_path / "closed.json"
    path.write_text("[]")
    path.chmod(0)

    with pytest.raises(UsageError, match="cannot be read"):
        json_list.read(path)


def test_the_byte_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "latin.json"
    path.write_bytes('["café"]'.encode("latin-1"))

    with pytest.raises(UsageError, match="byte 6 is not UTF-8; save the file in the encoding UTF-8"):
        json_list.read(path)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "mark.json"
    path.write_text('["a"]', encoding="utf-8-sig")

    assert json_list.read(path) == '["a"]'


def test_a_file_past_the_limit_is_refused(tmp_path):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(json_list.LARGEST_FILE + 1)

    with pytest.raises(UsageError, match=r"more than 8388608 bytes \(8 MiB\), the limit; split the file"):
        json_list.read(path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('["a",\n "b" "c"]', "line 2, column 6: not JSON"),
        ("", "line 1, column 1: not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + "9" * 5_000 + "]", "a number in it cannot be read"),
    ],
)
def test_text_that_is_no_json_is_refused_where_it_goes_wrong(text, fault):
    with pytest.raises(UsageError) as caught:
        json_list.parse(text, "set.json")

    assert str(caught.value).startswith("set.json: ")
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"a": 1}, "the file holds an object; it must hold a JSON list"),
        (None, "the file holds null; it must hold a JSON list"),
        ("prompt", 'the file holds "prompt"; it must hold a JSON list'),
        ([], "the list is empty; it needs at least one entry"),
        ([{}] * 10_001, "10001 entries, more than 10000, the limit; split the file"),
    ],
)
def test_what_is_no_list_of_entries_is_refused(value, fault):
    with pytest.raises(UsageError, match=fault):
        json_list.entries(value, "set.json")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        (1.5, "1.5"),
        ("中文", '"中文"'),
        ("a\nb", '"a\\nb"'),
        ("\x9b31m", '"\\u009b31m"'),
        ("\ud800", '"\\ud800"'),
        ({"a": 1}, "an object"),
        ([1], "a list"),
        ("x" * 100, '"' + "x" * 59 + "..."),
    ],
)
def test_values_are_shown_on_one_line_a_terminal_can_print(value, shown):
    assert json_list.described(value) == shown
    assert json_list.described(value).isprintable()
