"""Whether a server has the tokenizer of GPT-OSS, by the ids that it gives a fixed text or its chat prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_gptoss.model.gptoss import END, MESSAGE, START
from pytest_gptoss.model.message import say
from pytest_gptoss.model.subjects import ServerFacts

__all__ = ["IDS_OF_TEXTS", "TURN", "Unlike", "unlike"]

TURN = (START, 1428, MESSAGE, 12194, END)
"""``<|start|>user<|message|>Hi<|end|>``: a part of every harmony prompt that asks "Hi"."""

IDS_OF_TEXTS: Mapping[str, tuple[int, ...]] = {
    "<|start|>user<|message|>The quick brown fox: 上海, naïve, 7842<|end|>": (
        START, 1428, MESSAGE, 976, 4853, 19705, 68347, 25, 61262, 11, 153475, 737, 11, 220, 43985, 17, END,
    ),
}  # fmt: skip
"""What o200k_harmony makes of the texts that servers are asked to tokenize. The control tokens tell it from
other tokenizers of the o200k family."""


@dataclass(frozen=True, slots=True)
class Unlike:
    """How a server's ids differ from GPT-OSS's: of ``tokens`` expected ones ``missing`` did not come."""

    missing: int
    tokens: int
    text: str


def unlike(server: ServerFacts) -> Unlike | None:
    """How the server's ids differ; ``missing`` is 0 where they do not. None where it tells no ids."""
    expected = IDS_OF_TEXTS.get(server.text)
    if expected is not None and server.text_ids is not None:
        return _text_unlike(server.text_ids, expected)
    if server.greeting_ids is not None:
        return _prompt_unlike(server.greeting_ids)
    return None


def _text_unlike(ids: tuple[int, ...], expected: tuple[int, ...]) -> Unlike:
    if ids == expected:
        return Unlike(0, len(expected), "")
    place = next((at for at, pair in enumerate(zip(ids, expected, strict=False)) if pair[0] != pair[1]), None)
    same = sum(ours == theirs for ours, theirs in zip(ids, expected, strict=False))
    missing = max(1, len(expected) - same)
    if place is None:
        said = say(
            "{ids} token ids for a text that has {expected} in GPT-OSS's vocabulary",
            ids=len(ids),
            expected=len(expected),
        )
    else:
        said = say(
            "the id {ids} at position {place} of a text where GPT-OSS's has {expected}",
            ids=ids[place],
            place=place,
            expected=expected[place],
        )
    return Unlike(missing, len(expected), said)


def _prompt_unlike(ids: tuple[int, ...]) -> Unlike:
    length = len(TURN)
    if any(ids[at : at + length] == TURN for at in range(len(ids) - length + 1)):
        return Unlike(0, length, "")
    missing = max(1, len(set(TURN) - set(ids)))
    return Unlike(
        missing, length, say("a chat prompt without {turn}, GPT-OSS's turn of a user", turn=list(TURN))
    )
