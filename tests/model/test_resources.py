from __future__ import annotations

import pytest

from pytest_gptoss.model import resources
from pytest_gptoss.model.errors import GptossError
from pytest_gptoss.model.resources import fixture


def test_a_shipped_file_is_found():
    assert fixture("tiny-gpt-oss", "config.json").is_file()
    assert fixture("tiny-gpt-oss").is_dir()


def test_the_wheels_own_copy_comes_first(tmp_path, monkeypatch):
    wheel, clone = tmp_path / "data", tmp_path / "fixtures"
    for root in (wheel, clone):
        root.mkdir()
        (root / "both").touch()
    (clone / "one").touch()
    monkeypatch.setattr(resources, "_ROOTS", (wheel, clone))
    assert fixture("both") == wheel / "both"
    assert fixture("one") == clone / "one"


def test_what_is_missing_is_named_with_the_places():
    with pytest.raises(GptossError, match=r"no/such/file ships .* nor in .*fixtures: install it again"):
        fixture("no", "such", "file")
