"""How much a scenario asks of a device, as far as that is known before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pytest_gptoss.model.inputs import Prompt
from pytest_gptoss.scenarios.context_budget import fewest_tokens

__all__ = ["SHORT_ANSWER", "Effort", "answering"]

SHORT_ANSWER = 64
"""Output tokens of an answer that names a code, a city or a tool call, its analysis included."""


@dataclass(frozen=True, slots=True)
class Effort:
    """``read``: prompt tokens in all; ``written``: output tokens one after the other.

    Answers that are written side by side count as one: a batch takes about as long as its longest answer.
    ``passing_s``: seconds that pass whatever the pace, as a schedule of arrivals has.
    """

    read: int = 0
    written: int = 0
    passing_s: float = 0.0

    def __add__(self, other: Effort) -> Effort:
        return Effort(self.read + other.read, self.written + other.written, self.passing_s + other.passing_s)

    def seconds(self, *, read_per_s: float, written_per_s: float) -> float:
        """The time that it takes at these tokens a second."""
        return self.read / read_per_s + self.written / written_per_s + self.passing_s


def answering(prompts: Iterable[Prompt], max_tokens: int, *, at_once: int = 1) -> Effort:
    """Answers to prompts, each as long as it may be."""
    asked = list(prompts)
    written = sum(each.max_tokens or max_tokens for each in asked)
    return Effort(sum(map(fewest_tokens, asked)), written // at_once)
