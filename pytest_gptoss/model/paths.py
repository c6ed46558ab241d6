"""Paths of the server's API that take requests for answers, hidden states and scores."""

from __future__ import annotations

__all__ = ["CHAT_PATH", "COMPLETIONS_PATH", "POOLING_PATH"]

CHAT_PATH = "/v1/chat/completions"
COMPLETIONS_PATH = "/v1/completions"
POOLING_PATH = "/pooling"
