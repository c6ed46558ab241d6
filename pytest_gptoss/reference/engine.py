"""Continuous batching: one thread computes, sequences join and leave between its steps.

A long prompt is read in pieces, so that it neither waits for others to finish nor holds them up for longer
than one piece of it takes; ``scheduler.py`` says who computes what.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from pytest_gptoss.model.errors import ReferenceServerError
from pytest_gptoss.reference import checkpoint, defects
from pytest_gptoss.reference.checkpoint import DtypeName
from pytest_gptoss.reference.forward import Forward
from pytest_gptoss.reference.generation import EngineStats, GenerationRequest, GenerationToken
from pytest_gptoss.reference.histogram import Histogram
from pytest_gptoss.reference.limits import Limits
from pytest_gptoss.reference.prefix_cache import PrefixCache
from pytest_gptoss.reference.scheduler import Scheduler
from pytest_gptoss.reference.sequence import Sequence
from pytest_gptoss.reference.steps import Outcome, compute
from pytest_gptoss.reference.stream import END, Delivery, TokenStream, deliver

__all__ = ["Engine", "create_engine"]

logger = logging.getLogger(__name__)

_PREFIX_BYTES = 2**28
_JOIN_S = 10.0


def create_engine(
    *,
    model: str | Path,
    dtype: DtypeName = "float32",
    max_model_len: int | None = None,
    limits: Limits | None = None,
    threads: int | None = None,
    defect: str | None = None,
    prefix_caching: bool = True,
) -> Engine:
    """Load a checkpoint and start the thread that serves it.

    ``model`` is "tiny" or a folder; ``max_model_len`` None is the model's own, or what the KV cache holds if
    that is less; ``threads`` None is one for a small model, where more only wait for each other, and torch's
    choice for others.

    Raises:
        ReferenceServerError: the checkpoint cannot be loaded or does not fit into memory.
        UsageError: there is no such defect, or ``max_model_len`` is more than the KV cache holds.
    """
    limits = limits or Limits()
    if defect is not None:
        defects.find(defect)
    loaded = checkpoint.load(model, dtype)
    if max_model_len is not None and max_model_len > loaded.max_position:
        raise ReferenceServerError(
            f"--max-model-len {max_model_len} is beyond the model's {loaded.max_position} positions: lower it"
        )
    longest = limits.max_model_len(max_model_len, loaded.max_position)
    defects.damage(loaded.model, defect)
    faults = defects.faults_of(defect)
    return Engine(
        Forward(loaded, faults),
        max_model_len=longest,
        limits=limits,
        threads=threads or (1 if loaded.is_small else torch.get_num_threads()),
        prefix_cache=PrefixCache(_PREFIX_BYTES, stale_from=faults.stale_from) if prefix_caching else None,
    )


class Engine:
    """Serves requests on one model. Implements ``generation.InferenceEngine``."""

    def __init__(
        self,
        forward: Forward,
        *,
        max_model_len: int,
        limits: Limits,
        threads: int,
        prefix_cache: PrefixCache | None,
    ) -> None:
        self._forward = forward
        self._vocabulary = forward.loaded.vocabulary
        self._max_model_len = limits.max_model_len(None, max_model_len)
        self._limits = limits
        self._prefix_cache = prefix_cache
        self._scheduler = Scheduler(limits, prefix_cache, forward.faults)
        self._changed = threading.Condition()
        self._inbox: deque[Sequence] = deque()
        self._prompt_tokens = 0
        self._generation_tokens = 0
        self._first_token_s = Histogram()
        self._thread = threading.Thread(target=self._run, args=(threads,), name="gptoss-engine", daemon=True)
        self._thread.start()

    # -- the event loop's side ------------------------------------------------------------------

    @property
    def max_model_len(self) -> int:
        """Most tokens of prompt and answer together."""
        return self._max_model_len

    @property
    def vocab_size(self) -> int:
        """How many token ids there are."""
        return self._vocabulary.size

    @property
    def limits(self) -> Limits:
        """What a step may compute and what the running sequences may hold."""
        return self._limits

    @property
    def stats(self) -> EngineStats:
        """Counters since start and the sequences of this moment."""
        scheduler = self._scheduler
        return EngineStats(
            running=len(scheduler.running),
            waiting=len(scheduler.waiting) + len(self._inbox),
            prompt_tokens=self._prompt_tokens,
            generation_tokens=self._generation_tokens,
            prefix_cache_queries=scheduler.prefix_queries,
            prefix_cache_hits=scheduler.prefix_hits,
            preemptions=scheduler.preemptions,
            kv_cache_usage=scheduler.kv_cache_usage,
            kv_cache_blocks=self._limits.kv_cache_blocks,
            first_token_s=self._first_token_s,
        )

    def submit(self, request: GenerationRequest) -> TokenStream:
        """Queue a sequence; it joins the running batch between two steps.

        Raises:
            ValueError: the prompt is empty, too long, or holds an id outside the vocabulary.
            ReferenceServerError: the engine is closed.
        """
        return self._submit(request, wants_states=False)

    async def embed(self, token_ids: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Hidden states after the final norm, float32 [len(token_ids), hidden size].

        Raises:
            ValueError, ReferenceServerError: as :meth:`submit`.
        """
        stream = self._submit(GenerationRequest(prompt=token_ids, max_tokens=0), wants_states=True)
        try:
            async for _ in stream:
                pass
        finally:
            stream.cancel()
        return torch.cat(stream.states).numpy()

    def close(self) -> None:
        """Stop the engine's thread; running streams end with an error. Safe to call twice."""
        self._forward.stopping.set()
        self._wake()
        self._thread.join(_JOIN_S)

    def _submit(self, request: GenerationRequest, *, wants_states: bool) -> TokenStream:
        self._check(request)
        stream = TokenStream(on_cancel=lambda: self._cancel(sequence))
        sequence = Sequence(
            request,
            stream,
            cache=self._forward.new_cache(),
            vocabulary=self._vocabulary,
            max_model_len=self._max_model_len,
            wants_states=wants_states,
        )
        with self._changed:
            if self._forward.stopping.is_set():
                raise _closed()
            self._inbox.append(sequence)
            self._changed.notify()
        return stream

    def _check(self, request: GenerationRequest) -> None:
        length = len(request.prompt)
        if not 0 < length <= self._max_model_len:
            raise ValueError(f"a prompt of {length} tokens: give 1 to {self._max_model_len}")
        low, high = min(request.prompt), max(request.prompt)
        if low < 0 or high >= self.vocab_size:
            wrong = low if low < 0 else high
            raise ValueError(f"token id {wrong} is not in the vocabulary of {self.vocab_size}")

    def _cancel(self, sequence: Sequence) -> None:
        sequence.cancelled = not self._forward.faults.keeps_aborted
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    # -- the thread's side ----------------------------------------------------------------------

    def _run(self, threads: int) -> None:
        torch.set_num_threads(threads)
        try:
            with torch.inference_mode():
                while self._wait_for_work():
                    self._scheduler.drop_cancelled()
                    self._step()
        finally:
            self._end_all()

    def _end_all(self) -> None:
        """Tell everybody that nothing more comes, and let nobody in any more."""
        with self._changed:
            self._forward.stopping.set()
            scheduler = self._scheduler
            left = [*scheduler.running, *scheduler.waiting, *self._inbox]
            for sequences in (scheduler.running, scheduler.waiting, self._inbox):
                sequences.clear()
        deliver([(sequence.stream, _closed()) for sequence in left])

    def _wait_for_work(self) -> bool:
        """Sleep until something can be done; False when the engine is closing."""
        with self._changed:
            while not self._forward.stopping.is_set():
                self._scheduler.waiting.extend(self._inbox)
                self._inbox.clear()
                pause = self._pause()
                if pause == 0:
                    return True
                self._changed.wait(pause)
        return False

    def _pause(self) -> float | None:
        """Seconds until a sequence can go on: 0 for now, None if only an event can change anything."""
        scheduler = self._scheduler
        if scheduler.can_admit:
            return 0.0
        if any(sequence.cancelled for sequence in (*scheduler.running, *scheduler.waiting)):
            return 0.0
        soonest = scheduler.soonest()
        return None if soonest == float("inf") else max(0.0, soonest - time.monotonic())

    def _step(self) -> None:
        """Compute once for all that may go on, and send each what it brought."""
        batch = self._scheduler.plan()
        if not batch:
            return
        try:
            outcomes = compute(self._forward, batch)
        except Exception as error:
            if self._forward.stopping.is_set():
                return
            logger.exception("a step failed and its %d sequences with it", len(batch))
            outcomes = [Outcome(sequence, error) for sequence, _ in batch]
        self._count(outcomes)
        deliveries: list[Delivery] = []
        for outcome in outcomes:
            stream = outcome.sequence.stream
            if outcome.item is not END:
                deliveries.append((stream, outcome.item))
            if outcome.ended:
                deliveries.append((stream, END))
                self._scheduler.running.remove(outcome.sequence)
            else:
                self._hold_back(outcome.sequence)
        deliver(deliveries)
        for outcome in outcomes:
            if outcome.ended:
                self._remember(outcome.sequence)
                outcome.sequence.release()

    def _count(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            said = len(outcome.sequence.output)
            if isinstance(outcome.item, GenerationToken):
                self._generation_tokens += 1
                if said == 1:
                    waited = time.monotonic() - outcome.sequence.submitted_at
                    self._first_token_s = self._first_token_s.plus(waited)
            if said <= 1 and not isinstance(outcome.item, Exception):
                self._prompt_tokens += len(outcome.sequence.request.prompt)

    def _hold_back(self, sequence: Sequence) -> None:
        """Let a sequence wait where a defect says so; others go on, and a cancel ends the wait."""
        faults = self._forward.faults
        if faults.stall_after is not None and len(sequence.output) >= faults.stall_after:
            sequence.ready_at = float("inf")
        elif faults.decode_delay_s:
            sequence.ready_at = time.monotonic() + faults.decode_delay_s

    def _remember(self, sequence: Sequence) -> None:
        """Keep a finished prompt for those who begin alike, after its last token has left."""
        if self._prefix_cache is None or sequence.cache.left_behind is not None:
            return
        if not sequence.in_prompt:
            request = sequence.request
            self._prefix_cache.keep(sequence.cache, request.prompt, request.cache_salt)


def _closed() -> ReferenceServerError:
    return ReferenceServerError("the engine is closed: start the server again")
