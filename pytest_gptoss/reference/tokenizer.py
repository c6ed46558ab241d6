"""The o200k_harmony vocabulary as a Hugging Face tokenizer, made from the o200k_base ranks.

Byte-pair encoding joins, among neighbours, the pair whose joint has the lowest rank. The ranks file
names joints only; the pairs that make them are found again by splitting each at every place.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from pytest_gptoss.model.gptoss import FIRST_CONTROL_TOKEN, NAMED_TOKENS, VOCABULARY_SIZE

__all__ = ["CHAT_TEMPLATE", "build", "read_ranks", "special_tokens"]

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "<|start|>{{ message['role'] }}"
    "{%- if message['role'] == 'assistant' -%}<|channel|>final{%- endif -%}"
    "<|message|>{{ message['content'] }}<|end|>"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}"
)
"""Harmony's frame without its system message; servers that know harmony render it themselves."""

_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_CLITIC = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_WORDS = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+{_CLITIC}",
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*{_CLITIC}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)


def read_ranks(file: Path) -> dict[bytes, int]:
    """The tokens of a ``.tiktoken`` file: one line each, base64 of its bytes and its rank."""
    ranks = {}
    for line in file.read_bytes().splitlines():
        token, _, rank = line.partition(b" ")
        ranks[base64.b64decode(token)] = int(rank)
    return ranks


def special_tokens() -> list[str]:
    """The text of every id from 199,998 to the end of the vocabulary, in order."""
    return [
        NAMED_TOKENS.get(number, f"<|reserved_{number}|>")
        for number in range(FIRST_CONTROL_TOKEN, VOCABULARY_SIZE)
    ]


def build(ranks: Mapping[bytes, int]) -> Tokenizer:
    """The tokenizer; a word that is a token as a whole stays one, as in tiktoken."""
    letters = _letters()
    vocabulary = {_spell(token, letters): rank for token, rank in ranks.items()}
    merges = [(_spell(left, letters), _spell(right, letters)) for left, right in _merges(ranks)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in special_tokens()]
    )
    return tokenizer


def _merges(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Every pair of tokens that makes a token, by the rank of what it makes, then of its parts."""
    found = []
    for token, rank in ranks.items():
        for cut in range(1, len(token)):
            left, right = ranks.get(token[:cut]), ranks.get(token[cut:])
            if left is not None and right is not None:
                found.append((rank, left, right, token[:cut], token[cut:]))
    found.sort()
    return [(left, right) for *_, left, right in found]


def _letters() -> list[str]:
    """The visible character that byte-level tokenizers write for each of the 256 bytes.

    Printable Latin-1 stands for itself, the others follow from U+0100 on.
    """
    visible = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    stand_ins = iter(range(0x100, 0x200))
    return [chr(byte) if byte in visible else chr(next(stand_ins)) for byte in range(256)]


def _spell(token: bytes, letters: list[str]) -> str:
    return "".join(letters[byte] for byte in token)
