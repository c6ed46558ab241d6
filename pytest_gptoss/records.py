"""Plain records that travel between measuring, judging and telling.

Frozen dataclasses, JSON-shaped but for the numpy arrays that stand beside them. No behaviour
beyond naming: whoever measures fills them, whoever judges reads them, nobody changes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = [
    "AGAIN",
    "BY_HOOK",
    "CORPUS",
    "AbortTrace",
    "BadRequest",
    "Capabilities",
    "Comparison",
    "CountedBy",
    "Device",
    "Drift",
    "DriftPoint",
    "Estimate",
    "Failure",
    "Feature",
    "FeatureName",
    "Forced",
    "Generation",
    "Greedy",
    "Hidden",
    "HiddenStates",
    "InstrumentError",
    "Json",
    "KnownFact",
    "Load",
    "LoadEndpoint",
    "LoadLevel",
    "LoadShape",
    "LoadTask",
    "LoopHealth",
    "Measurement",
    "Message",
    "Needle",
    "NeedleAnswer",
    "NeedleTask",
    "NeedleTrouble",
    "Preflight",
    "Prompt",
    "PromptSet",
    "Rendered",
    "RequestTiming",
    "Role",
    "Scenario",
    "ScoredSequence",
    "ServerFacts",
    "ServerIdentity",
    "Status",
    "Threshold",
    "Tier",
    "TokenSequence",
    "ToolCall",
    "TopLogprobs",
    "Verdict",
]

Json: TypeAlias = Any
"""What ``json.dumps`` accepts: dict, list, str, int, float (finite), bool, None."""

Role: TypeAlias = Literal["npu", "gpu", "cpu"]
Tier: TypeAlias = Literal["contract", "assurance", "info"]
Status: TypeAlias = Literal["PASS", "FAIL", "INVALID", "WAIVED", "SKIPPED"]
CORPUS = "corpus"
"""What stands in a device's place where the fixed texts are scored: no device may be called so."""

BY_HOOK = "hook"
"""Source of a profile's threshold that a project's hook has changed."""

Comparison: TypeAlias = Literal[">=", "<=", ">", "<", "="]
FeatureName: TypeAlias = Literal[
    "whole", "cut", "effort-low", "effort-high",
    "tools-auto", "tools-required", "tools-named", "tags", "abort", "bad-requests",
]  # fmt: skip
NeedleTrouble: TypeAlias = Literal["truncated", "rejected", "out_of_memory", "timeout"]
LoadEndpoint: TypeAlias = Literal["chat", "completions"]
CountedBy: TypeAlias = Literal["ids", "usage"]

AGAIN = " again"
"""Ends the id of an answer that was asked for a second time, to know whether the server repeats itself."""

FloatArray: TypeAlias = npt.NDArray[np.float64]
Float32Array: TypeAlias = npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int32]

Item = TypeVar("Item")


# -- inputs -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message as an OpenAI client sends it."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One entry of a prompt set. ``max_tokens`` None means the profile's."""

    id: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Prompts under one name; ``sha256`` is over their canonical JSON, so equal sets hash equal."""

    name: str
    prompts: tuple[Prompt, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """A fixed token sequence. Positions ``first`` .. ``len(token_ids) - 1`` are scored; first >= 1."""

    id: str
    token_ids: tuple[int, ...]
    first: int = 1
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NeedleTask:
    """What is hidden in long texts and asked for; the defaults are the acceptance guide's.

    The first of ``trials`` hides ``needle`` as it is, further ones another code in the place of
    ``expect``, drawn from ``seed`` as the haystacks are. ``max_context_len`` tokens is the longest
    context tested.
    """

    needle: str = "The secret code is 7842."
    question: str = "What is the secret code?"
    expect: str = "7842"
    trials: int = 1
    seed: int = 0
    max_context_len: int = 131072


@dataclass(frozen=True, slots=True)
class LoadShape:
    """What one load level asks: ``requests`` in all, each of exactly so many tokens in and out."""

    concurrency: int
    requests: int
    prompt_tokens: int
    max_tokens: int
    endpoint: LoadEndpoint = "chat"


@dataclass(frozen=True, slots=True)
class LoadTask:
    """How load is measured where the user says so; None leaves what the profile says.

    ``trials`` repeats all levels; ``gpu``: the baseline is put under load too; ``calibrate``: the
    instrument's own error is measured first.
    """

    concurrency: tuple[int, ...] | None = None
    requests: int | None = None
    max_tokens: int | None = None
    prompt_tokens: int | None = None
    endpoint: LoadEndpoint = "chat"
    trials: int = 1
    gpu: bool = False
    calibrate: bool = True


# -- devices ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one small request each has shown that a device can do.

    ``notes`` says, per missing capability, what the server answered instead.
    """

    chat: bool = False
    token_ids: bool = False
    logprobs: bool = False
    prompt_logprobs: bool = False
    token_prompts: bool = False
    pooling: bool = False
    tokenize: bool = False
    metrics: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Device:
    """A served model in a role, as probed. ``url`` is the server root without credentials."""

    role: Role
    name: str
    url: str | None
    label: str
    model: str
    server_version: str | None
    max_model_len: int | None
    capabilities: Capabilities


# -- scenarios: what to measure ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Greedy:
    """Greedy outputs of a prompt set: temperature 0, top_p 1.

    ``concurrency`` 1 is one request at a time; ``repeat`` numbers runs of the same thing;
    ``limit`` keeps the first prompts only. ``prompt_ids_of`` names the device whose rendered
    prompt ids are sent as they are (``--gptoss-inputs token-ids``); None sends chat messages.
    """

    device: str
    prompts: str = "precision"
    concurrency: int = 1
    repeat: int = 0
    limit: int | None = None
    prompt_ids_of: str | None = None

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        head = "" if self.limit is None else f"-first{self.limit}"
        ids = "" if self.prompt_ids_of is None else f"-ids-of-{self.prompt_ids_of}"
        return f"greedy-{self.device}-{self.prompts}{head}{ids}-c{self.concurrency}-r{self.repeat}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        how = f" {self.concurrency} at once" if self.concurrency > 1 else " again" if self.repeat else ""
        return f"{self.device} answers{how}"


@dataclass(frozen=True, slots=True)
class Rendered:
    """The prompt ids a device renders from a prompt set: one token is generated and ignored.

    ``answers`` is the scenario whose answers tell the ids already: then only prompts that it left without an
    answer are asked for. None: every prompt is asked for, as chat.
    """

    device: str
    prompts: str = "precision"
    answers: Greedy | None = None

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        if self.answers is not None:
            return f"rendered-{self.device}-for-{self.answers.id}"
        return f"rendered-{self.device}-{self.prompts}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} renders prompts"


@dataclass(frozen=True, slots=True)
class Forced:
    """Teacher-forced scores: log-probabilities of given tokens under the device's model.

    ``source`` "corpus" scores the fixed token sequences; a device name scores the greedy
    outputs of that device, each behind its own prompt, the answer's positions only; ``outputs``
    is then the scenario that generates them (None: the device's plain Greedy).
    """

    device: str
    source: str = CORPUS
    limit: int | None = None
    outputs: Greedy | None = None

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        head = "" if self.limit is None else f"-first{self.limit}"
        return f"forced-{self.device}-of-{self.source}{head}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        what = "the corpus" if self.outputs is None else f"answers of {self.source}"
        return f"{self.device} scores {what}"


@dataclass(frozen=True, slots=True)
class Hidden:
    """Last-layer hidden states (after the final norm) of the fixed token sequences."""

    device: str

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        return f"hidden-{self.device}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} hidden states"


@dataclass(frozen=True, slots=True)
class Needle:
    """One cell of the long-context test: a needle at ``depth`` (0 to 1) of a prompt of ``length`` tokens.

    ``control``: the same haystack without the needle, and the same question.
    """

    device: str
    depth: float
    length: int
    control: bool = False

    @property
    def cell(self) -> str:
        """The cell's name in threshold ids: ``d025-32k``."""
        size = f"{self.length // 1024}k" if self.length % 1024 == 0 else str(self.length)
        return f"d{round(self.depth * 100):03d}-{size}"

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        return f"needle-{self.device}-{self.cell}{'-control' if self.control else ''}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} needle {self.cell}{' control' if self.control else ''}"


@dataclass(frozen=True, slots=True)
class Drift:
    """Log-probabilities of the true next token here and there in one long text.

    Asked for behind prefixes longer than ``above`` and no longer than ``length`` tokens, so that the
    scenarios of neighbouring lengths make up one sequence and nothing is measured twice.
    """

    device: str
    above: int
    length: int

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        return f"drift-{self.device}-{self.length}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} drift to {self.length} tokens"


@dataclass(frozen=True, slots=True)
class Load:
    """One load level: ``concurrency`` requests in flight until the level's requests are done (closed loop).

    ``trial`` numbers repetitions of all levels.
    """

    device: str
    concurrency: int
    trial: int = 0

    @property
    def level(self) -> str:
        """The level's name in threshold ids: ``c16``."""
        return f"c{self.concurrency:02d}"

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        return f"load-{self.device}-{self.level}-t{self.trial}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        again = f" again ({self.trial + 1})" if self.trial else ""
        return f"{self.device} under load, {self.concurrency} at once{again}"


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a server tells about itself before anything is measured; taken while devices are probed."""

    device: str

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        return f"preflight-{self.device}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} preflight"


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a server, tried out with a handful of requests; ``measure.features`` says which."""

    device: str
    feature: FeatureName

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        return f"feature-{self.device}-{self.feature}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} {self.feature.replace('-', ' ')}"


Scenario: TypeAlias = Greedy | Rendered | Forced | Hidden | Needle | Drift | Load | Preflight | Feature


# -- measurements: what came back -------------------------------------------------------------


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
class KnownFact:
    """A fact about a server that it does not have to tell: ``name`` "dtype", and where it was found."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server that answers, before anything is measured on it.

    ``addresses`` are its host's addresses with port and path, as this machine resolves them; ``host`` is the
    name it was asked by, None where that was a plain address. ``started_s`` is its process's start on its
    own clock, in seconds, None where ``/metrics`` does not tell. ``run`` is the id of the run that asked.
    ``model`` is the served model that was chosen; None: ``problem`` says
    why none can be used. ``text_ids`` are the ids that it gives ``text``, ``greeting_ids`` those of its chat
    prompt where it does not tell the former; None where it tells none. ``clock_ahead_s``: its clock less this
    machine's, to the second; None without a Date header. ``harmony_date`` is the date in its chat prompt,
    None where it cannot be seen: ``date_trouble`` says why. ``answers_sha256`` is over its log-probabilities
    of fixed tokens: None where it does not repeat or offer them, or was not asked because it can be no other
    device's server.
    """

    run: str
    addresses: tuple[str, ...]
    waited_s: float
    listed: tuple[str, ...]
    model: str | None = None
    problem: str = ""
    version: str | None = None
    max_model_len: int | None = None
    clock_ahead_s: float | None = None
    harmony_date: str | None = None
    known: tuple[KnownFact, ...] = ()
    host: str | None = None
    started_s: float | None = None
    date_trouble: str = ""
    text: str = ""
    text_ids: tuple[int, ...] | None = None
    greeting_ids: tuple[int, ...] | None = None
    answers_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """What a server tells of itself that stays from its start to its end; empty where it does not tell.

    ``starts`` are the starts of its processes, in seconds of their own clock: one, or several where one page
    tells of several. ``checkpoint`` is what ``/v1/models`` calls the model's root, ``settings`` are those
    of ``/server_info``.
    """

    starts: tuple[float, ...] = ()
    model: str | None = None
    checkpoint: str | None = None
    version: str | None = None
    max_model_len: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


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
    when neither accounts for all tokens, and each event is then taken for one.
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


@dataclass(frozen=True, slots=True)
class LoopHealth:
    """How well the client itself kept up during a level.

    ``lag_p50_ms``, ``lag_p99_ms``, ``lag_max_ms``: how late a timer of the event loop fired.
    ``cpu_share``: the process's CPU time over the level's time; near 1.0 the client is the bottleneck.
    """

    lag_p50_ms: float
    lag_p99_ms: float
    lag_max_ms: float
    cpu_share: float


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


# -- judging ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's outcome: a finite value, how many units it rests on, and how sure it is.

    ``interval`` is a 95% confidence interval (low, high), or None where none is defined.
    ``details`` explains the figure to the reports and is never judged.
    """

    value: float
    unit: str
    n: int
    interval: tuple[float, float] | None = None
    details: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Threshold:
    """One row of a profile: what is judged, against what, and where that stands written.

    ``changed_from`` and ``statistic_from`` are the limit and the statistic that a user has replaced.
    """

    id: str
    family: str
    metric: str
    statistic: str
    comparison: Comparison
    limit: float
    unit: str
    tier: Tier
    source: str
    changed_from: float | None = None
    statistic_from: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One threshold judged on one NPU device. Absent figures are None, never 0 or NaN."""

    npu: str
    threshold: Threshold
    status: Status
    value: float | None = None
    n: int | None = None
    interval: tuple[float, float] | None = None
    proven: bool | None = None
    reason: str = ""
    details: Mapping[str, Json] = field(default_factory=dict)
