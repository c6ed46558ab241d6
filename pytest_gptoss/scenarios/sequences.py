"""Token sequences that a device is asked to score, and honest counts of those it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Generation

__all__ = ["Sequences", "corpus_sequences", "output_sequences", "sort_out"]


@dataclass(frozen=True)
class Sequences:
    """What is asked (``kept``) and what is not (``left_out``: id -> reason)."""

    kept: tuple[TokenSequence, ...]
    left_out: Mapping[str, str]


def corpus_sequences(
    corpus: Iterable[TokenSequence], *, context: int | None, longest: int | None = None
) -> Sequences:
    """The fixed sequences that fit ``longest`` tokens and a context of ``context`` tokens."""
    return sort_out(((sequence.id, sequence) for sequence in corpus), context=context, longest=longest)


def output_sequences(
    outputs: Iterable[Generation], *, context: int | None, longest: int, limit: int | None = None
) -> Sequences:
    """Generated answers behind their own prompts, the answer's positions scored.

    ``limit`` keeps the first that fit.
    """
    return sort_out(
        ((output.prompt_id, _sequence(output)) for output in outputs),
        context=context,
        longest=longest,
        limit=limit,
    )


def _sequence(output: Generation) -> TokenSequence | str:
    if output.prompt_token_ids is None or output.token_ids is None:
        return say("the server did not tell its token ids")
    if not output.token_ids:
        return say("the answer is empty")
    return TokenSequence(
        output.prompt_id, (*output.prompt_token_ids, *output.token_ids), first=len(output.prompt_token_ids)
    )


def sort_out(
    candidates: Iterable[tuple[str, TokenSequence | str]],
    *,
    context: int | None,
    longest: int | None,
    limit: int | None = None,
) -> Sequences:
    """Those of ``candidates`` (id, sequence or why there is none) that fit; ``limit`` keeps the first."""
    kept: list[TokenSequence] = []
    left_out: dict[str, str] = {}
    for item_id, candidate in candidates:
        if limit is not None and len(kept) >= limit:
            break
        if isinstance(candidate, str):
            left_out[item_id] = candidate
        elif longest is not None and len(candidate.token_ids) > longest:
            left_out[item_id] = say(
                "{token_ids} tokens, more than the {longest} scored at once",
                token_ids=len(candidate.token_ids),
                longest=longest,
            )
        elif context is not None and len(candidate.token_ids) >= context:
            left_out[item_id] = say(
                "{token_ids} tokens do not fit the context of {context}",
                token_ids=len(candidate.token_ids),
                context=context,
            )
        else:
            kept.append(candidate)
    return Sequences(tuple(kept), left_out)
