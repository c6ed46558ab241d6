"""What came back: measurements and their items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Generic, Literal, TypeAlias, TypeVar

from pytest_gptoss.model.arrays import Float32Array, FloatArray, IntArray
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.json_type import Json

__all__ = [
    "AGAIN",
    "AbortTrace",
    "BadRequest",
    "CountedBy",
    "DriftPoint",
    "Failure",
    "Generation",
    "HiddenStates",
    "InstrumentError",
    "Item",
    "LoadLevel",
    "LoopHealth",
    "Measurement",
    "NeedleAnswer",
    "NeedleTrouble",
    "RecoveredStates",
    "RequestTiming",
    "ScoredSequence",
    "StateFit",
    "StressAnswer",
    "ToolCall",
    "TopLogprobs",
]

NeedleTrouble: TypeAlias = Literal["truncated", "rejected", "out_of_memory", "timeout"]

CountedBy: TypeAlias = Literal["ids", "usage"]

AGAIN = " again"
"""Ends the id of an answer that was asked for a second time, to know whether the server repeats itself."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, eq=False)
class TopLogprobs:
    """The k most likely tokens at each of T positions, most likely first.

    ``ids`` int32 [T, k], padded with -1; ``logprobs`` float32 [T, k] in nats, padded with -inf.
    """

    ids: IntArray
    logprobs: Float32Array


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call as the server parsed it; ``arguments`` is the raw JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """One answer. Token ids include the harmony tokens and the stop token, as the server gives them.

    ``logprobs`` float64 [T] in nats and ``top`` are those of the generating steps, None when the
    server offers none; ``token_ids`` and ``prompt_token_ids`` are None when it withholds them.
    ``words`` [T] are the tokens' texts as the server writes them, None of a token that it does not tell.
    """

    prompt_id: str
    prompt_token_ids: tuple[int, ...] | None
    token_ids: tuple[int, ...] | None
    reasoning: str
    content: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    logprobs: FloatArray | None = None
    top: TopLogprobs | None = None
    words: tuple[str | None, ...] | None = None

    @property
    def text(self) -> str:
        """All generated text: reasoning, then content."""
        return "\n".join(part for part in (self.reasoning, self.content) if part)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSequence:
    """A token sequence under teacher forcing.

    ``logprobs`` float64 [n - first]: entry i is the log-probability in nats of
    ``token_ids[first + i]`` given all tokens before it. ``top`` has as many rows.
    """

    sequence_id: str
    token_ids: tuple[int, ...]
    first: int
    logprobs: FloatArray
    top: TopLogprobs


@dataclass(frozen=True, slots=True, eq=False)
class HiddenStates:
    """Hidden states of one sequence: ``states`` float32 [n, width], after the final norm."""

    sequence_id: str
    token_ids: tuple[int, ...]
    states: Float32Array


@dataclass(frozen=True, slots=True)
class StateFit:
    """How well log-probabilities tell the hidden state at one ``position``. They are in nats.

    ``n``: log-probabilities that belong to different rows of the output layer. ``residual``: their standard
    deviation around the fit, for n - hidden - 1 degrees of freedom. ``worst``: the largest deviation;
    ``residual_of_others``: the residual of a fit without it. ``explained``: the standard deviation of
    rounding logits to bfloat16, ``largest_step`` the widest step between two of them. ``condition`` of the
    centred rows. ``scale``: mean((state / norm)^2) without the error's own part, ``scale_error`` its standard
    deviation. ``power``: the expected square of the state's error across it, over its own square;
    ``largest``: the error's variance in the least certain direction, likewise.
    """

    position: int
    n: int
    residual: float
    residual_of_others: float
    worst: float
    explained: float
    largest_step: float
    condition: float
    scale: float
    scale_error: float
    power: float
    largest: float


@dataclass(frozen=True, slots=True, eq=False)
class RecoveredStates:
    """Hidden states at some positions of one sequence, recovered from log-probabilities.

    ``states`` float32 [m, width], after the final norm, and how each was found: ``fits`` [m], whose positions
    rise.
    """

    sequence_id: str
    token_ids: tuple[int, ...]
    states: Float32Array
    fits: tuple[StateFit, ...]


@dataclass(frozen=True, slots=True)
class NeedleAnswer:
    """What came of one trial of a needle cell, not yet judged.

    ``planned_tokens`` is the prompt's length as built, ``prompt_tokens`` as the server counted it;
    ``depth`` is where the needle starts in tokens of the haystack, from 0 to 1 (the planned depth in
    a control). ``cut``: max_tokens ended the answer before its final channel had the room that is kept
    for it. ``first_token_ms`` counts from the written request to the first token, ``cached_tokens`` those of
    the prompt that the server took from its prefix cache; both None when not known. ``token_ids`` are the
    answer's, None when the server withholds them. With ``trouble``
    no answer came: ``message`` says why, and what belongs to an answer is empty.
    """

    trial: int
    code: str
    planned_tokens: int
    depth: float
    prompt_tokens: int | None = None
    content: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    cut: bool = False
    first_token_ms: float | None = None
    cached_tokens: int | None = None
    trouble: NeedleTrouble | None = None
    message: str = ""
    token_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class DriftPoint:
    """The log-probability in nats of one true token of a long text, given all ``position`` tokens before it.

    Neighbouring positions share a ``spot``, the length in tokens they stand for. ``text_sha256`` is over
    the ids (int32) of the prefix and the token: equal ones were asked for the same.
    """

    spot: int
    position: int
    token: int
    text_sha256: str
    logprob: float


@dataclass(frozen=True, slots=True)
class AbortTrace:
    """A long request that its client left: the server's count of running requests around that moment.

    ``before`` it was sent, ``during``: the most while it ran, ``after``: pairs of seconds since the client
    left and the count. ``natural_s``: how long the answer would have gone on by itself, in seconds.
    ``room`` tokens were asked for, and the server counted ``generated`` from before it until the last read,
    those of others included; None where not told. ``trials``: how often this was tried.
    ``said``: the server's own words for a count that did not rise while it ran.
    """

    before: int
    during: int
    after: tuple[tuple[float, int], ...]
    natural_s: float
    room: int | None = None
    generated: int | None = None
    trials: int = 1
    said: str = ""

    @property
    def left(self) -> int:
        """Requests still counted at the last read beyond those before."""
        return max(0, self.after[-1][1] - self.before)

    @property
    def says_nothing(self) -> Literal["unseen", "others", "ended"] | None:
        """Why this proves nothing; None when it does.

        ``unseen``: the request never raised the count. ``others``: the count stays up and others' requests
        came. ``ended``: the slot is free, but the request may have run to its own end.
        """
        if self.during <= self.before:
            return "unseen"
        if self.left:
            return "others" if self._moves_without_us else None
        if self.room is not None and self.generated is not None:
            return None if self.generated < self.room else "ended"
        return None if self.natural_s >= 2 * self.after[-1][0] else "ended"

    @property
    def _moves_without_us(self) -> bool:
        """Whether others' requests came: ours adds one, and after it was left nothing may add any."""
        counts = [self.during, *(count for _, count in self.after)]
        return self.during > self.before + 1 or any(later > earlier for earlier, later in pairwise(counts))


@dataclass(frozen=True, slots=True)
class BadRequest:
    """A request that is wrong, and whether the server still answers a good one after it.

    ``status`` None: no HTTP answer came. ``said`` is the server's refusal, ``trouble`` what became of
    the good request, empty when it was answered.
    """

    name: str
    status: int | None
    said: str
    alive: bool
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class RequestTiming:
    """One request under load, on the client's monotonic clock in nanoseconds.

    ``id`` is the X-Request-Id that was sent. ``start_ns``: handed to the client; ``sent_ns``: its last
    byte written to the socket, None when it never was. ``token_ns`` holds a stamp for each event that
    carried generated tokens, taken when the bytes arrived, ``tokens`` how many each carried.
    ``first_text_ns``: the first event with visible text, of reasoning or of the answer.
    ``end_ns``: the stream's end, or the failure. Counts come from the server's usage, None when
    it gave none. ``error`` is set for whatever failed, a stream that ended badly included.
    ``counted_by`` says what gave ``tokens``: the events' token ids, or usage counts that ran along; None
    when neither accounts for all tokens, and each event is then taken for one. ``prompt_ids`` and
    ``output_ids`` are the token ids as the server told them; None where it told none. ``intended_ns``:
    when an open loop was to send it, None in a closed one. ``asked``: tokens of its prompt and its answer
    where requests of a level differ in them, None where the level's shape says them.
    """

    id: str
    start_ns: int
    sent_ns: int | None
    token_ns: tuple[int, ...]
    tokens: tuple[int, ...]
    first_text_ns: int | None
    end_ns: int
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    finish_reason: str | None = None
    error: Failure | None = None
    counted_by: CountedBy | None = None
    prompt_ids: tuple[int, ...] | None = None
    output_ids: tuple[int, ...] | None = None
    intended_ns: int | None = None
    asked: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class LoopHealth:
    """How well the client itself kept up during a level.

    ``lag_p50_ms``, ``lag_p99_ms``, ``lag_max_ms``: how late a timer of the event loop fired.
    ``cpu_share``: the process's CPU time over the level's time; near 1.0 the client is the bottleneck.
    Where several processes put the load, each figure is that of the one that kept up least, and
    ``cpu_shares`` has the CPU share of each. ``clock_error_ms``: by how much stamps of different machines may
    be off each other, None where all are of one clock.
    """

    lag_p50_ms: float
    lag_p99_ms: float
    lag_max_ms: float
    cpu_share: float
    cpu_shares: tuple[float, ...] = ()
    clock_error_ms: float | None = None


@dataclass(frozen=True, slots=True)
class LoadLevel:
    """One load level as measured: its requests, those never sent left out, and what was seen around them.

    ``health`` is None when the level did not come to its end. ``rtt_ms``: round trips to the server, timed
    before the level, none where they could not be had. ``frame_tokens``: tokens that the chat's frame
    adds to every prompt, which prompts may share; ``cache_block``: tokens of one block of the server's
    prefix cache, None where it does not tell. ``server``: by how much the server's own counters grew over
    the level, by their names without ``vllm:``, sums of seconds included; None without ``/metrics``.
    """

    shape: LoadShape
    requests: tuple[RequestTiming, ...]
    health: LoopHealth | None = None
    rtt_ms: tuple[float, ...] = ()
    frame_tokens: int = 0
    cache_block: int | None = None
    server: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StressAnswer:
    """One answer that a device gave under stress, and how the same device scores it when asked alone.

    ``token_ids`` are the prompt's and the answer's, ``first`` the position of the answer's first. Scored when
    asked alone: ``logprobs`` [n], nats, of the answer's tokens, and two or more of the likeliest, ``top``.
    ``generated`` [n]: log-probabilities told while generating, where asked for. ``kind`` tells answers of
    one scenario apart; ``cached_tokens``: those of the prompt that came from the prefix cache, None where
    not told; ``server``: by how much its counters grew meanwhile, None where it tells none.
    """

    sequence_id: str
    token_ids: tuple[int, ...]
    first: int
    logprobs: FloatArray
    top: TopLogprobs
    generated: FloatArray | None = None
    kind: str = ""
    cached_tokens: int | None = None
    server: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class InstrumentError:
    """How far the instrument is off at one level on this machine, against a server that stamps its writes.

    Errors are measured minus true, in milliseconds, over ``requests`` requests: mean (the bias) and the
    99th percentile. ``load_held`` is the share of the offered load that the client actually kept in flight.
    """

    concurrency: int
    requests: int
    ttft_bias_ms: float
    ttft_p99_ms: float
    tpot_bias_ms: float
    tpot_p99_ms: float
    load_held: float


@dataclass(frozen=True, slots=True)
class Failure:
    """One item of a scenario that could not be had. ``kind`` is a RequestError's word."""

    item_id: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Measurement(Generic[Item]):
    """The result of one scenario: its items in input order, and honest accounts of the rest.

    ``left_out`` maps an item id to why it was not asked for by design (too long to score, say);
    ``failures`` were asked for and did not come. ``complete`` is False when measuring stopped
    early (Ctrl-C, dead server). ``provenance``: server version, model, settings, hashes.
    """

    scenario_id: str
    device: str
    items: tuple[Item, ...]
    failures: tuple[Failure, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True
    started: str = ""
    ended: str = ""
    provenance: Mapping[str, Json] = field(default_factory=dict)
