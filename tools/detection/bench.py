"""Load answered on a schedule: the pace of a server, set to the millisecond and near a limit.

A proxy sends what is put under load to the ground-truth server and everything else (probes, token counts)
to the reference server. The limits are the rows' own, so that the machine the matrix runs on does not matter.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from detection.proxy import Exchange, Handler, pass_on, proxy, relay
from detection.row import FAIL, Row, Served
from detection.servers import reference, shared_reference
from pytest_gptoss.scenarios.truth import truth_server

__all__ = ["LIMITS", "bench_rows", "same_prompts", "scheduled"]

LIMITS: Mapping[str, float] = MappingProxyType(
    {"ttft.c01": 200.0, "tpot.c01": 20.0, "throughput.c16": 400.0, "qps.c16": 8.0}
)
"""Milliseconds, milliseconds, tokens a second, requests a second."""

ANSWER_TOKENS = 32
PROMPT_TOKENS = 256
CONCURRENCY = 16
STEPS = (10, 20, 40)
"""By so many percent a figure is off its limit."""

EASY_MS = {"first_token_ms": 60.0, "interval_ms": 5.0}

BLOCK_BYTES = 2048
"""About nine events of the ground-truth server's, so that its short answers come in several blocks."""

SLOW_MS = 1.25 * LIMITS["tpot.c01"]
"""Between two tokens of a server whose TPOT must not pass; its rates do."""

BUFFERED = dict.fromkeys(("performance.ttft", "performance.tpot"), "proxy_buffering off")
UNACCOUNTED = dict.fromkeys(("performance.ttft", "performance.tpot"), "tokens are not accounted for")

BESIDE = "c01 or throughput or qps"
"""What is judged of a stream that is unsound: its latencies, and the rates that need no single event."""

UNSOUND_STREAMS: Mapping[str, tuple[str, Mapping[str, Any], Mapping[str, str]]] = MappingProxyType(
    {
        "bench-buffered": (
            "a proxy hands each stream over at its end, of a server that is too slow",
            {"buffer": 10**6, "interval_ms": SLOW_MS}, BUFFERED,
        ),
        "bench-blocks": (
            "a proxy hands each stream over in blocks",
            {"buffer": BLOCK_BYTES, "interval_ms": SLOW_MS}, BUFFERED,
        ),
        "bench-reasoning-dropped": (
            "a gateway drops token ids and events that carry reasoning alone, of a server that is too slow",
            {"text": "harmony", "content_only": True, "ids": False, "interval_ms": SLOW_MS},
            UNACCOUNTED,
        ),
        "bench-packed-unreadably": (
            "streams packed in a way that cannot be read",
            {"encoding": "br"}, {"performance.completed": "comes packed as"},
        ),
    }
)  # fmt: skip
"""By row: what it is, the script of its streams, and how the columns look that should notice."""

SOUND_STREAMS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "bench-stream-interval": ("eight tokens an event", {"per_event": 8}),
        "bench-bursts": ("three events at once, as speculative decoding sends them", {"burst": 3}),
        "bench-pings": ("a comment before every event", {"comments": True}),
        "bench-packed": ("streams packed as gzip", {"encoding": "gzip"}),
        "bench-running-usage": (
            "a running usage in place of token ids", {"ids": False, "running_usage": True},
        ),
    }
)  # fmt: skip
"""Streams that only look held back or incomplete."""


@dataclass(frozen=True)
class Pace:
    """What the ground-truth server is told: fields of its script."""

    script: Mapping[str, Any] = field(default_factory=dict)

    def told(self, asked: Any) -> bytes:
        """A request's body with the schedule in it; the count of the prompt is the row's own."""
        return json.dumps(
            {**asked, "truth": {**EASY_MS, "prompt_tokens": PROMPT_TOKENS, **self.script}}
        ).encode()


def is_load(exchange: Exchange) -> bool:
    """Whether a request is one of those under load: they alone ask for an exact number of tokens."""
    return (
        exchange.method == "POST" and exchange.path.endswith("/completions") and "min_tokens" in exchange.json
    )


def scheduled(truth: str, pace: Pace) -> Handler:
    """Answer load from the server at ``truth``, all else from the proxy's own."""

    async def handle(exchange: Exchange) -> None:
        if is_load(exchange):
            exchange.redirect(truth, pace.told(exchange.json))
            await relay(exchange)
        else:
            await pass_on(exchange)

    return handle


def same_prompts() -> Handler:
    """Send the first load prompt again and again, without its salt: what a prefix cache is made for."""
    first: dict[str, Any] = {}

    async def handle(exchange: Exchange) -> None:
        if is_load(exchange):
            body = exchange.json
            body.pop("cache_salt", None)
            for name in ("messages", "prompt"):
                if name in body:
                    body[name] = first.setdefault(name, body[name])
            exchange.body = json.dumps(body).encode()
        await pass_on(exchange)

    return handle


@contextmanager
def _paced(pace: Pace) -> Iterator[Served]:
    with (
        truth_server() as truth,
        proxy(shared_reference(), scheduled(truth.endpoint.root, pace)) as url,
        tempfile.TemporaryDirectory(prefix="gptoss-") as scratch,
    ):
        limits = Path(scratch) / "limits.toml"
        tables = (f'[thresholds."performance.{name}"]\nlimit = {limit}\n' for name, limit in LIMITS.items())
        limits.write_text("\n".join(tables))
        yield Served(url, (f"--gptoss-thresholds={limits}", f"--gptoss-prompt-len={PROMPT_TOKENS}"))


@contextmanager
def _cached() -> Iterator[Served]:
    with reference() as sound, proxy(sound.url, same_prompts()) as url:
        yield Served(url, ("-k", "uncached or completed"))


def bench_rows() -> Iterator[Row]:
    """The rows of the bench."""
    yield Row(
        "bench-prefix-cache", "bench", "prompts that the prefix cache knows", _cached,
        {"performance.uncached": FAIL}, families="performance",
    )  # fmt: skip
    early = {"role_ms": 3.0, "first_token_ms": 1.4 * LIMITS["ttft.c01"]}
    yield _row("bench-role-early", "the role comes at once, the first token 40% too late", early,
               "performance.ttft")  # fmt: skip
    yield _row("bench-reasoning-only", "reasoning tokens alone, in time", {"text": "reasoning"})
    yield _row("bench-hidden-only", "tokens that show in token_ids alone, in time", {"text": "none"})
    yield _row("bench-cut", "answers that end early", {"fault": "close"}, "performance.completed")
    yield _row("bench-few-tokens", "half the tokens that were asked for", {"tokens": ANSWER_TOKENS // 2},
               "performance.completed")  # fmt: skip
    for name, (what, script, expect) in UNSOUND_STREAMS.items():
        yield dataclasses.replace(_row(name, what, script, judged=BESIDE), expect=expect)
    for name, (what, script) in SOUND_STREAMS.items():
        yield _row(name, what, script)
    for name in LIMITS:
        figure, level = name.split(".")
        for percent in (*(-step for step in reversed(STEPS)), *STEPS):
            yield _near(figure, level, percent)


def _row(name: str, what: str, script: Mapping[str, Any], *failing: str, judged: str = "") -> Row:
    @contextmanager
    def serve() -> Iterator[Served]:
        with _paced(Pace(script)) as served:
            chosen = ("-k", judged) if judged else ()
            yield Served(served.url, (*served.options, *chosen))

    return Row(name, "bench", what, serve, dict.fromkeys(failing, FAIL), families="performance")


def _near(figure: str, level: str, percent: int) -> Row:
    """A figure so many percent above or below its limit: a latency is red above, a rate below."""
    value = LIMITS[f"{figure}.{level}"] * (1 + percent / 100)
    late = percent > 0 if figure in ("ttft", "tpot") else percent < 0
    what = f"{figure} {abs(percent)}% {'above' if percent > 0 else 'below'} its limit"
    failing = (f"performance.{figure}",) if late else ()
    # One figure alone: tokens a request tie throughput and QPS together, and their limits need not agree.
    judged = " or ".join(f"{name}.{level}" for name in (figure, "completed", "uncached"))
    return _row(f"bench-{figure}{percent:+d}", what, _script(figure, value), *failing, judged=judged)


def _script(figure: str, value: float) -> Mapping[str, float]:
    """The schedule that gives a figure this value."""
    if figure == "ttft":
        return {"first_token_ms": value}
    if figure == "tpot":
        return {"interval_ms": value}
    rounds_a_second = value / (CONCURRENCY * (ANSWER_TOKENS if figure == "throughput" else 1))
    left_ms = 1000 / rounds_a_second - EASY_MS["first_token_ms"]
    return {"interval_ms": left_ms / (ANSWER_TOKENS - 1)}
