"""Who runs, who waits, and what each computes in the next step, as vLLM decides it.

A step takes the next token of every sequence that is generating and, with what is left of its budget, the
next piece of the prompts that are not yet read, oldest first. Where the KV cache is bounded and full, the
sequence that joined last gives its part up and waits, first in line, to be computed again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from pytest_gptoss.reference.defects import CROSSTALK_FROM, CROSSTALK_SAID, IN_FLIGHT, Faults
from pytest_gptoss.reference.forward import Piece
from pytest_gptoss.reference.kv_cache import Block
from pytest_gptoss.reference.limits import Limits, blocks_of
from pytest_gptoss.reference.prefix_cache import PrefixCache
from pytest_gptoss.reference.sequence import Sequence
from pytest_gptoss.reference.slips import SOUND, Slip

__all__ = ["Scheduler"]


class Scheduler:
    """The sequences of one engine. For the engine's thread; others may read the counters and lengths."""

    def __init__(self, limits: Limits, prefix_cache: PrefixCache | None, faults: Faults) -> None:
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.preemptions = 0
        self.prefix_queries = 0
        self.prefix_hits = 0
        self._limits = limits
        self._blocks = limits.kv_cache_blocks
        self._prefix_cache = prefix_cache
        self._faults = faults
        self._sound = faults == Faults()
        self._joined_in_flight = 0
        self._left_behind: deque[Block] = deque(maxlen=limits.max_num_seqs)

    @property
    def kv_cache_usage(self) -> float:
        """The share of the KV cache's blocks that running sequences hold, 0 where it has no bound."""
        return self._held(list(self.running)) / self._blocks if self._blocks else 0.0

    @property
    def can_admit(self) -> bool:
        """Whether the first of those who wait could join a step that nobody else takes part in."""
        return self._may_join(self._limits.max_num_batched_tokens)

    def soonest(self) -> float:
        """When the first running sequence may go on, on the monotonic clock; infinity where none ever may."""
        return min((sequence.ready_at for sequence in self.running), default=float("inf"))

    # -- coming and going -----------------------------------------------------------------------

    def drop_cancelled(self) -> None:
        """Let cancelled sequences go; their caches go with them."""
        gone = [sequence for sequence in self.running if sequence.cancelled]
        for sequence in gone:
            self._leave_behind(sequence)
            sequence.release()
        if gone:
            self.running = [sequence for sequence in self.running if not sequence.cancelled]
        self.waiting = deque(sequence for sequence in self.waiting if not sequence.cancelled)

    def _may_join(self, budget: int) -> bool:
        """Whether the next in line may join: a slot is free, and room for a piece of ``budget`` tokens."""
        if not self.waiting or len(self.running) >= self._limits.max_num_seqs:
            return False
        if self._blocks is None:
            return True
        return budget > 0 and self._fits(self.running, self._first_claim(self.waiting[0], budget))

    def _join(self, sequence: Sequence) -> None:
        self._spoil(sequence)
        if self._prefix_cache is not None and sequence.reuses_prefix:
            salt = sequence.request.cache_salt
            sequence.reused = self._prefix_cache.fill(sequence.cache, sequence.prefill, salt)
            sequence.claimed = sequence.reused
        if not sequence.preempted:
            self._begin(sequence)
        self.running.append(sequence)

    def _begin(self, sequence: Sequence) -> None:
        """Count what is told of a sequence that joins for the first time, and hold it back if so told."""
        if self._prefix_cache is not None and sequence.reuses_prefix:
            sequence.stream.cached_tokens = sequence.reused
            self.prefix_queries += len(sequence.prefill)
            self.prefix_hits += sequence.reused
        delay = self._faults.prefill_delay_s
        sequence.ready_at = time.monotonic() + delay if delay else 0.0

    # -- the next step --------------------------------------------------------------------------

    def plan(self) -> list[tuple[Sequence, Piece]]:
        """What each sequence that may go on computes in this step; who waits joins, first come first served.

        Nobody joins in a step that preempts.
        """
        now, before = time.monotonic(), self.preemptions
        ready = [sequence for sequence in self.running if sequence.ready_at <= now]
        generating = [sequence for sequence in ready if not sequence.in_prompt]
        batch: dict[Sequence, Piece] = {}
        for sequence in generating:
            self._add(batch, sequence, 1, generating)
        budget = self._limits.max_num_batched_tokens - len(generating)
        for sequence in ready:
            if sequence.in_prompt:
                budget -= self._add(batch, sequence, budget, generating)
        while self.preemptions == before and self._may_join(budget):
            sequence = self.waiting.popleft()
            self._join(sequence)
            if sequence.ready_at <= now:
                budget -= self._add(batch, sequence, budget, generating)
        return [(sequence, piece) for sequence, piece in batch.items() if sequence.claimed]

    def _add(
        self, batch: dict[Sequence, Piece], sequence: Sequence, budget: int, generating: list[Sequence]
    ) -> int:
        """Let a running sequence compute its next tokens, at most ``budget``; returns how many."""
        tokens = sequence.pending(budget)
        if not tokens or not self._claim(sequence, sequence.cache.length + len(tokens)):
            return 0
        batch[sequence] = Piece(sequence.cache, tokens, self._slip(sequence, generating))
        return len(tokens)

    # -- the KV cache's bound -------------------------------------------------------------------

    def _first_claim(self, sequence: Sequence, budget: int) -> int:
        """Tokens to have room for when a sequence joins: its known prefix and its first piece."""
        known = 0
        if self._prefix_cache is not None and sequence.reuses_prefix:
            known = self._prefix_cache.known(sequence.prefill, sequence.request.cache_salt)
        return min(len(sequence.prefill), known + budget)

    def _claim(self, sequence: Sequence, tokens: int) -> bool:
        """Keep room for ``tokens`` of a sequence; False where it had to give way itself."""
        if self._blocks is not None:
            others = [each for each in self.running if each is not sequence]
            while sequence in self.running and not self._fits(others, tokens):
                last = self._preempt_last()
                others = [each for each in others if each is not last]
            if sequence not in self.running:
                return False
        sequence.claimed = tokens
        return True

    def _preempt_last(self) -> Sequence:
        """Let the sequence that joined last give its part up; it is the next to join again."""
        last = self.running.pop()
        last.preempt()
        self.waiting.appendleft(last)
        self.preemptions += 1
        return last

    def _fits(self, running: Iterable[Sequence], tokens: int) -> bool:
        """Whether ``tokens`` of one more sequence fit beside those that are running."""
        return self._blocks is None or self._held(running) + blocks_of(tokens) <= self._blocks

    @staticmethod
    def _held(running: Iterable[Sequence]) -> int:
        return sum(blocks_of(sequence.claimed) for sequence in running)

    # -- faults on purpose ----------------------------------------------------------------------

    def _spoil(self, sequence: Sequence) -> None:
        """What a defect does to a sequence that joins."""
        if self._left_behind:
            sequence.cache.left_behind = self._left_behind.popleft()
        if not self.running:
            self._joined_in_flight = 0
        elif len(self.running) + 1 >= IN_FLIGHT and not sequence.preempted:
            self._joined_in_flight += 1
            every = self._faults.crosstalk_every
            sequence.crosstalks = every is not None and self._joined_in_flight % every == IN_FLIGHT

    def _leave_behind(self, sequence: Sequence) -> None:
        """Keep the last rows of an aborted sequence for the next one, by a defect."""
        length = sequence.cache.length
        rows = min(self._faults.leaked_rows, length)
        if rows and len(self.running) >= IN_FLIGHT:
            self._left_behind.append(sequence.cache.copy(length - rows, length))

    def _slip(self, sequence: Sequence, generating: list[Sequence]) -> Slip:
        """What a defect does to the next piece of a sequence."""
        faults = self._faults
        if self._sound:
            return SOUND
        if sequence.recomputes and faults.recompute_shift:
            return Slip(shift=faults.recompute_shift)
        if sequence.in_prompt and faults.edge_tokens and sequence.cache.length > sequence.reused:
            return Slip(halved=faults.edge_tokens)
        if sequence.crosstalks and self._crosses(sequence):
            neighbour = generating[generating.index(sequence) - 1]
            return Slip(neighbour=neighbour.cache, rows=len(neighbour.request.prompt))
        return SOUND

    def _crosses(self, sequence: Sequence) -> bool:
        return (
            not sequence.in_prompt
            and len(self.running) >= IN_FLIGHT
            and len(sequence.output) >= CROSSTALK_SAID
            and sequence.cache.length >= CROSSTALK_FROM
        )
