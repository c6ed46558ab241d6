"""Prompts of token ids for what is asked under stress: prose and a question, in the frame of a chat."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.subjects import Capabilities
from pytest_gptoss.scenarios.load_prompts import prose_ids

__all__ = ["Material", "material"]

OPENING = "<|start|>user<|message|>"
RETELL = "What of this was said last, and what came right before it?"
ENDING = "<|end|><|start|>assistant"
SEED = 19
"""Every run asks the same."""


@dataclass(frozen=True, slots=True)
class Material:
    """Token ids that prompts are made of: the beginning of each, prose, and the question that ends each."""

    opening: tuple[int, ...]
    prose: tuple[int, ...]
    question: tuple[int, ...]

    def prompt(self, *, tokens: int, at: int, shared: int = 0, own: tuple[int, ...] = ()) -> tuple[int, ...]:
        """A prompt of ``tokens`` ids: ``shared`` of all others, then ``own``, then prose from ``at`` on."""
        beginning = (*self.opening, *self.prose)[: shared or len(self.opening)]
        room = tokens - len(beginning) - len(own) - len(self.question)
        return (*beginning, *own, *self.prose[at : at + room], *self.question)


async def material(
    client: VllmClient, *, tokens: int, able: Capabilities, question: str = RETELL
) -> Material:
    """At least ``tokens`` ids of prose with opening and question; raises RequestError.

    Where the device does not tokenize they are ids of ordinary words, without opening and question.
    """
    prose = await prose_ids(client, tokens, able=able, seed=SEED)
    if not able.tokenize:
        return Material((), prose, ())
    return Material(await client.tokenize(OPENING), prose, await client.tokenize(f"\n\n{question}{ENDING}"))
