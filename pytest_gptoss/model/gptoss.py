"""Facts of GPT-OSS: token ids of its control tokens, vocabulary size, context, attention window."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = [
    "CALL",
    "CHANNEL",
    "CONSTRAIN",
    "CONTEXT",
    "END",
    "END_OF_PROMPT",
    "END_OF_TEXT",
    "FIRST_CONTROL_TOKEN",
    "MESSAGE",
    "NAMED_TOKENS",
    "RETURN",
    "SLIDING_WINDOW",
    "START",
    "START_OF_TEXT",
    "STOP_IDS",
    "VOCABULARY_SIZE",
]

VOCABULARY_SIZE = 201_088
"""Tokens of o200k_harmony, reserved ones included."""
CONTEXT = 131_072
"""Longest sequence of prompt and answer, in tokens (``max_position_embeddings``)."""
SLIDING_WINDOW = 128
"""Tokens that a layer with sliding-window attention sees; every other layer has one."""

START_OF_TEXT = 199_998
END_OF_TEXT = 199_999
RETURN = 200_002
CONSTRAIN = 200_003
CHANNEL = 200_005
START = 200_006
END = 200_007
MESSAGE = 200_008
CALL = 200_012
END_OF_PROMPT = 200_018

FIRST_CONTROL_TOKEN = START_OF_TEXT
"""All ids from this one on are control tokens: named ones and reserved ones."""
STOP_IDS = (RETURN, END_OF_TEXT, CALL)
"""What ends an answer, in the order of the model's generation config."""

NAMED_TOKENS: Mapping[int, str] = MappingProxyType(
    {
        START_OF_TEXT: "<|startoftext|>",
        END_OF_TEXT: "<|endoftext|>",
        RETURN: "<|return|>",
        CONSTRAIN: "<|constrain|>",
        CHANNEL: "<|channel|>",
        START: "<|start|>",
        END: "<|end|>",
        MESSAGE: "<|message|>",
        CALL: "<|call|>",
        END_OF_PROMPT: "<|endofprompt|>",
    }
)
"""The control tokens that have a name; all others are reserved."""
