"""What one forward pass means for its sequences: prompts scored, tokens chosen, ends reached."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.reference.forward import Forward, Piece
from pytest_gptoss.reference.generation import GenerationToken, TokenLogprobs
from pytest_gptoss.reference.sampling import greedy, likely, sample
from pytest_gptoss.reference.scoring import score
from pytest_gptoss.reference.sequence import Sequence

__all__ = ["Outcome", "compute"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step brought one sequence: a token, an error, or its end after the prompt (None)."""

    sequence: Sequence
    item: GenerationToken | Exception | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return not isinstance(self.item, GenerationToken) or self.item.finish_reason is not None


def compute(forward: Forward, batch: Many[tuple[Sequence, Piece]]) -> list[Outcome]:
    """Run one step; sequences still inside their prompt have no outcome.

    Raises:
        ReferenceServerError: the engine is closing.
    """
    states = forward.hidden([piece for _, piece in batch])
    outcomes: list[Outcome] = []
    speakers: list[Sequence] = []
    last: list[Tensor] = []
    for (sequence, _), own in zip(batch, states, strict=True):
        try:
            _read_prompt(forward, sequence, own)
        except ReferenceServerError as error:
            outcomes.append(Outcome(sequence, error))
            continue
        if sequence.in_prompt:
            continue
        if sequence.says_nothing:
            outcomes.append(Outcome(sequence, None))
        else:
            speakers.append(sequence)
            last.append(own[-1])
    if speakers:
        outcomes += _speak(forward, speakers, torch.stack(last))
    return outcomes


# -- the prompt -------------------------------------------------------------------------------


def _read_prompt(forward: Forward, sequence: Sequence, states: Tensor) -> None:
    """Keep of new prompt states [n, hidden] what the request asks for."""
    if sequence.output:
        return
    if sequence.wants_states:
        sequence.states.append(states.float())
    if sequence.request.prompt_logprobs is not None:
        for scores in _prompt_scores(forward, sequence, states, sequence.request.prompt_logprobs):
            sequence.prompt_scores += scores
    if not sequence.in_prompt:
        sequence.stream.states = tuple(sequence.states)
        if sequence.request.prompt_logprobs is not None:
            sequence.stream.prompt_logprobs = tuple(sequence.prompt_scores)


def _prompt_scores(
    forward: Forward, sequence: Sequence, states: Tensor, top: int
) -> Iterator[list[TokenLogprobs]]:
    """Scores of the prompt tokens that follow the new ones, a bounded number of positions at a time."""
    first = sequence.cache.length - len(states)
    actual = torch.tensor(sequence.request.prompt[first + 1 : sequence.cache.length + 1])
    positions = torch.arange(first, first + len(actual))
    for start in range(0, len(actual), forward.logits_at_once):
        part = slice(start, min(start + forward.logits_at_once, len(actual)))
        logits = forward.logits(states[part], positions[part])
        _demand_numbers(logits)
        yield score(logits, actual[part], top, forward.loaded.vocabulary)


# -- the next token -----------------------------------------------------------------------------


def _speak(forward: Forward, speakers: list[Sequence], states: Tensor) -> list[Outcome]:
    """Choose the next token of each sequence from its last state [speakers, hidden]."""
    positions = torch.tensor([speaker.cache.length - 1 for speaker in speakers])
    logits = forward.logits(states, positions)
    tokens = _choose(forward, speakers, logits)
    records = _records(forward, speakers, logits, tokens)
    outcomes = []
    for speaker, token, record in zip(speakers, tokens, records, strict=True):
        if isinstance(record, Exception):
            outcomes.append(Outcome(speaker, record))
            continue
        speaker.output.append(token)
        item = GenerationToken(token_id=token, logprobs=record, finish_reason=speaker.finish_reason())
        outcomes.append(Outcome(speaker, item))
    return outcomes


def _choose(forward: Forward, speakers: list[Sequence], logits: Tensor) -> list[int]:
    every = forward.faults.repeat_every
    tokens = greedy(logits, forward.loaded.vocabulary)
    for index, speaker in enumerate(speakers):
        request = speaker.request
        if every is not None and speaker.output and (len(speaker.output) + 1) % every == 0:
            tokens[index] = speaker.output[-1]
        elif request.guide is not None:
            tokens[index] = request.guide.choose(speaker.output, likely(logits[index], speaker.vocabulary))
        elif not speaker.is_plain_greedy:
            tokens[index] = sample(
                logits[index],
                speaker.vocabulary,
                temperature=request.temperature,
                top_p=request.top_p,
                random=speaker.random,
            )
    return tokens


def _records(
    forward: Forward, speakers: list[Sequence], logits: Tensor, tokens: list[int]
) -> list[TokenLogprobs | Exception | None]:
    """Log-probabilities for those who asked, or the error that stands in their way."""
    records: list[TokenLogprobs | Exception | None] = [None] * len(speakers)
    for index, speaker in enumerate(speakers):
        top = speaker.request.logprobs
        if top is None:
            continue
        own = slice(index, index + 1)
        try:
            _demand_numbers(logits[own])
        except ReferenceServerError as error:
            records[index] = error
        else:
            chosen = torch.tensor(tokens[own])
            records[index] = score(logits[own], chosen, top, forward.loaded.vocabulary)[0]
    return records


def _demand_numbers(logits: Tensor) -> None:
    if logits.isnan().any():
        raise ReferenceServerError("logits are NaN: log-probabilities cannot be given")
