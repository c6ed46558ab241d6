"""Lets the tests beside it import ``tools/vllm_cpu.py``, and gives them a checkpoint that vLLM can load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as an ordinary checkpoint, exported by the user's command."""
    folder = tmp_path_factory.mktemp("exported")
    command = [sys.executable, "-m", "pytest_gptoss.reference", "export", str(folder)]
    subprocess.run(command, check=True, timeout=300)
    return folder
