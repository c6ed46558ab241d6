"""A pytest plugin for runs on a chat model that is not GPT-OSS: completions name no stop tokens.

vLLM refuses a request whose stop tokens lie outside the served model's vocabulary, as GPT-OSS's do there.
"""

from __future__ import annotations

from pytest_gptoss.client import generation

generation.HARMONY_STOP_TOKENS = ()
