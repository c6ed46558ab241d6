"""The instrument's own error on this machine: the load client against a server that stamps its writes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from pytest_gptoss.client.load import Drive, LoadJob, LoadRequest, LoadRun, LoadTarget, run_load
from pytest_gptoss.model.errors import GptossError, MeasurementError
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.message import say
from pytest_gptoss.model.paths import CHAT_PATH
from pytest_gptoss.model.results import InstrumentError, RequestTiming
from pytest_gptoss.scenarios.truth import TrueRequest, TruthServer, truth_server

__all__ = [
    "FIRST_TOKEN_MS",
    "INTERVAL_MS",
    "Calibrated",
    "calibrate",
    "calibrate_here",
    "instrument_error",
    "load_held",
    "worst_error",
]

FIRST_TOKEN_MS = 80.0
INTERVAL_MS = 5.0
"""The schedule it calibrates against: as fast as the acceptance limits allow, and faster per token."""

_SHORT_ROUNDS, _SHORT_TOKENS = 8, 32
_FULL_TOKENS = 64
_WARM_REQUESTS, _WARM_TOKENS = 4, 4
_WORD = "token "
_MOST_WORDS = 4096
"""Of a trace's longest prompt: the server reads none of it."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A level's calibration, by the level's name: the instrument's error there, or why it is not known."""

    level: str
    error: InstrumentError | None = None
    problem: str | None = None


def calibrate(
    levels: Mapping[str, LoadShape],
    *,
    tell: Callable[[str], None],
    take: Callable[[Calibrated], None],
    short: bool = True,
    drive: Drive | None = None,
) -> None:
    """Run the load client against the ground-truth server at each level; ``take`` gets each as it ends.

    ``short`` takes about 2 s a level (8 rounds of 32 tokens); otherwise all the level's requests are
    made, of 64 tokens at most. A failure is the problem of its level alone, whose latencies cannot be
    judged then. ``drive`` puts the load, None: this process does. Raises ReferenceServerError when the server
    does not start.
    """
    run = drive or run_load
    arguments = (f"--first-token-ms={FIRST_TOKEN_MS}", f"--interval-ms={INTERVAL_MS}")
    with truth_server(*arguments) as server:
        for name, shape in levels.items():
            try:
                found = Calibrated(name, _level(server, shape, run, tell=tell, short=short))
            except GptossError as error:
                found = Calibrated(name, problem=str(error))
            take(found)


def calibrate_here(name: str, shape: LoadShape) -> Calibrated:
    """One level's short calibration in this process, which may run on another machine; never raises."""
    found: list[Calibrated] = []
    try:
        calibrate({name: shape}, tell=lambda _: None, take=found.append)
    except GptossError as error:  # the server did not start
        found.append(Calibrated(name, problem=str(error)))
    return found[0]


def worst_error(errors: Sequence[InstrumentError], *, concurrency: int) -> InstrumentError:
    """The error of several instruments that put one level together: each figure that of the worst."""

    def farthest(figures: Iterable[float]) -> float:
        return max(figures, key=abs)

    return InstrumentError(
        concurrency=concurrency,
        requests=sum(each.requests for each in errors),
        ttft_bias_ms=farthest(each.ttft_bias_ms for each in errors),
        ttft_p99_ms=farthest(each.ttft_p99_ms for each in errors),
        tpot_bias_ms=farthest(each.tpot_bias_ms for each in errors),
        tpot_p99_ms=farthest(each.tpot_p99_ms for each in errors),
        load_held=min(each.load_held for each in errors),
    )


def instrument_error(run: LoadRun, truth: Mapping[str, TrueRequest], *, concurrency: int) -> InstrumentError:
    """Compare a run's timings with the server's. Errors are measured minus true, in ms.

    True TTFT is from the server's having read the request to its writing the first event with a token, so the
    loopback and the wake-ups of both processes count as error. Raises MeasurementError when a request
    failed or its tokens differ from those written.
    """
    pairs = [_pair(timing, truth.get(timing.id)) for timing in run.requests]
    if not pairs:
        raise MeasurementError(say("calibration: no request was measured: run it again"))
    ttft = [_ttft_ms(timing) - _true_ttft_ms(true) for timing, true in pairs]
    tpot = [_tpot_ms(timing) - _tpot_ms(true) for timing, true in pairs]
    return InstrumentError(
        concurrency=concurrency,
        requests=len(pairs),
        ttft_bias_ms=statistics.fmean(ttft),
        ttft_p99_ms=_p99(ttft),
        tpot_bias_ms=statistics.fmean(tpot),
        tpot_p99_ms=_p99(tpot),
        load_held=load_held([true for _, true in pairs], concurrency),
    )


def _level(
    server: TruthServer, shape: LoadShape, drive: Drive, *, tell: Callable[[str], None], short: bool
) -> InstrumentError:
    rounds = _SHORT_ROUNDS * shape.concurrency
    count = max(min(shape.requests, rounds) if short else shape.requests, 1)
    tokens = max(min(shape.max_tokens, _SHORT_TOKENS if short else _FULL_TOKENS), 2)
    _run(server, shape, drive, _WARM_REQUESTS, _WARM_TOKENS)
    server.forget()
    run = _run(server, shape, drive, count, tokens)
    error = instrument_error(run, server.stamps(), concurrency=shape.concurrency)
    tell(
        f"instrument at concurrency {shape.concurrency}: TTFT {error.ttft_bias_ms:+.2f} ms "
        f"(p99 {error.ttft_p99_ms:+.2f}), TPOT {error.tpot_bias_ms:+.3f} ms, "
        f"{error.load_held:.1%} of the load held"
    )
    return error


def _run(server: TruthServer, shape: LoadShape, drive: Drive, count: int, tokens: int) -> LoadRun:
    words = shape.prompt_tokens if shape.longest is None else min(shape.prompt_tokens, _MOST_WORDS)
    body = {
        "messages": [{"role": "user", "content": _WORD * words}],
        "max_tokens": tokens,
        "stream": True,
    }
    name = uuid4().hex
    requests = [LoadRequest(f"calibrate-{name}-{place}", CHAT_PATH, body) for place in range(count)]
    job = LoadJob(LoadTarget(server.endpoint), requests, shape.concurrency)
    return drive(job, on_end=lambda timing: None)


def _pair(timing: RequestTiming, true: TrueRequest | None) -> tuple[RequestTiming, TrueRequest]:
    if timing.error is not None:
        raise MeasurementError(say("calibration: {message}", message=timing.error.message))
    if true is None or timing.tokens != true.tokens or timing.sent_ns is None:
        raise MeasurementError(
            say(
                "calibration: request {id} came back with {tokens} tokens and the server wrote "
                "{written}: the instrument does not work here",
                id=timing.id,
                tokens=sum(timing.tokens),
                written=say("nothing") if true is None else sum(true.tokens),
            )
        )
    return timing, true


def _ttft_ms(timing: RequestTiming) -> float:
    return (timing.token_ns[0] - (timing.sent_ns or 0)) / 1e6


def _true_ttft_ms(true: TrueRequest) -> float:
    return (true.token_ns[0] - true.read_ns) / 1e6


def _tpot_ms(request: RequestTiming | TrueRequest) -> float:
    later = sum(request.tokens[1:])
    return (request.token_ns[-1] - request.token_ns[0]) / 1e6 / later if later else 0.0


def load_held(requests: Sequence[TrueRequest], concurrency: int) -> float:
    """Give the share of ``concurrency`` that the server saw in flight, on average, while requests were left.

    From the first request's arrival to the last one's: after it, nothing was left to send.
    """
    first = min(request.read_ns for request in requests)
    last = max(request.read_ns for request in requests)
    if len(requests) <= concurrency:
        # All were sent at once: what counts is that they were in flight together to the end.
        concurrency, last = len(requests), min(request.token_ns[-1] for request in requests)
    busy = sum(
        max(0, min(request.end_ns or last, last) - max(request.read_ns, first)) for request in requests
    )
    return min(1.0, busy / (concurrency * (last - first))) if last > first else 1.0


def _p99(values: Sequence[float]) -> float:
    """Give the 99th percentile by nearest rank: with fewer than 100 values, the largest."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]
