"""Log-probabilities in the three shapes that vLLM gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.reference.generation import TokenLogprobs
from pytest_gptoss.reference.tokens import bytes_of, text_of

__all__ = ["ScoreTable", "chat_score", "prompt_scores"]

_LOWEST = -9999.0
"""Stands for minus infinity, which JSON cannot say."""


def chat_score(token_id: int, scores: TokenLogprobs, *, top: int, as_ids: bool) -> Json:
    """A generated token as an entry of a chat choice's ``logprobs.content``."""
    alternatives = _ranked(token_id, scores)[:top]
    return {
        "token": _name(token_id, as_ids),
        "logprob": _finite(scores.logprob),
        "bytes": list(bytes_of(token_id)),
        "top_logprobs": [
            {
                "token": _name(each, as_ids),
                "logprob": _finite(logprob),
                "bytes": list(_name(each, as_ids).encode()) if as_ids else list(bytes_of(each)),
            }
            for each, logprob, _ in alternatives
        ],
    }


def prompt_scores(prompt: Sequence[int], scores: Sequence[TokenLogprobs | None]) -> list[Json]:
    """A prompt's ``prompt_logprobs``: None for the first token, then the actual one and the likeliest."""
    return [
        None
        if each is None
        else {
            str(alternative): {
                "logprob": _finite(logprob),
                "rank": rank,
                "decoded_token": text_of(alternative),
            }
            for alternative, logprob, rank in _ranked(token_id, each)
        }
        for token_id, each in zip(prompt, scores, strict=True)
    ]


@dataclass
class ScoreTable:
    """The ``logprobs`` of a text completion, which grows token by token."""

    as_ids: bool
    _offset: int = 0
    _rows: list[tuple[int, str, float | None, Json]] = field(default_factory=list)

    def add(self, token_id: int, scores: TokenLogprobs | None) -> None:
        """Append a token; only a prompt's first has no scores."""
        name = _name(token_id, self.as_ids)
        if scores is None:
            self._rows.append((self._offset, name, None, None))
        else:
            top = {_name(each, self.as_ids): _finite(value) for each, value, _ in _ranked(token_id, scores)}
            self._rows.append((self._offset, name, _finite(scores.logprob), top))
        self._offset += len(name)

    def take(self) -> Json:
        """What was added since the last call."""
        rows, self._rows = self._rows, []
        return {
            "text_offset": [offset for offset, _, _, _ in rows],
            "token_logprobs": [logprob for _, _, logprob, _ in rows],
            "tokens": [name for _, name, _, _ in rows],
            "top_logprobs": [top for _, _, _, top in rows],
        }


def _ranked(token_id: int, scores: TokenLogprobs) -> list[tuple[int, float, int]]:
    """(id, logprob, rank): the actual token, then the likeliest others."""
    others = [
        (each, logprob, rank) for rank, (each, logprob) in enumerate(scores.top, start=1) if each != token_id
    ]
    return [(token_id, scores.logprob, scores.rank), *others]


def _name(token_id: int, as_ids: bool) -> str:
    return f"token_id:{token_id}" if as_ids else text_of(token_id)


def _finite(logprob: float) -> float:
    """A log-probability that JSON can hold; NaN stays, and fails the answer."""
    return _LOWEST if logprob == float("-inf") else logprob
