from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_gptoss.model import resources

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tests/logits.py


@pytest.fixture(scope="session")
def harmony():
    """The o200k_harmony encoding, from the shipped vocabulary."""
    from openai_harmony import HarmonyEncodingName, load_harmony_encoding

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(resources.fixture("tiny-gpt-oss")))
        return load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
