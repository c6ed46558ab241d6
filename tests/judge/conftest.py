"""Hypothesis without its deadline: on a busy machine an example's time says nothing."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tests/logits.py

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
