"""Servers under test: the reference server, sound or spoilt, real vLLM, and what a proxy makes of them."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import vllm_cpu

from detection.checkpoints import damaged_copy
from detection.proxy import Handler, proxy
from detection.row import Served
from pytest_gptoss.model.resources import fixture
from pytest_gptoss.reference.export import export
from pytest_gptoss.servers.embedded import PINNED_DATE, start_reference

__all__ = [
    "MANY_LOGPROBS",
    "PATIENT",
    "behind",
    "damaged",
    "real_vllm",
    "recovered",
    "reference",
    "shared_reference",
]

READY_S = 600.0
MANY_LOGPROBS = ("--max-logprobs", "4096")
"""What a server is started with whose hidden states are recovered."""
PATIENT = ("--gptoss-first-token-timeout=900",)
"""vLLM on a busy CPU takes minutes over the log-probabilities of a prompt of 1,500 tokens."""


@contextmanager
def reference(
    *arguments: str,
    model: str = "tiny",
    defect: str | None = None,
    dtype: str = "bfloat16",
    date: str = PINNED_DATE,
    options: tuple[str, ...] = (),
) -> Iterator[Served]:
    """The reference server, sound unless told otherwise; like the embedded pair it tells how it computes."""
    environment = {"VLLM_SYSTEM_START_DATE": date, "VLLM_SERVER_DEV_MODE": "1"}
    with start_reference(
        model, dtype, defect=defect, environment=environment, arguments=arguments, ready_timeout=READY_S
    ) as server:
        yield Served(server.url, options)


@cache
def shared_reference() -> str:
    """The URL of a sound reference server that lives as long as this process.

    For rows that put nothing under test on it: they ask it for what every server is asked beside.
    """
    environment = {"VLLM_SYSTEM_START_DATE": PINNED_DATE, "VLLM_SERVER_DEV_MODE": "1"}
    server = start_reference("tiny", "bfloat16", environment=environment, ready_timeout=READY_S)
    atexit.register(server.stop)
    return server.url


def recovered(lm_head: Path, *, positions: int = 64) -> tuple[str, ...]:
    """Options that recover the device's hidden states from its log-probabilities."""
    return (
        "--gptoss-hidden-npu=logprobs",
        f"--gptoss-lm-head={lm_head}",
        f"--gptoss-hidden-positions={positions}",
    )


@contextmanager
def damaged(damage: str, *arguments: str, options: tuple[str, ...] = ()) -> Iterator[Served]:
    """The reference server on a spoilt checkpoint."""
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
        folder = damaged_copy(fixture("tiny-gpt-oss", "config.json").parent, Path(scratch) / "spoilt", damage)
        with reference(*arguments, model=str(folder), options=options) as served:
            yield served


@contextmanager
def real_vllm(damage: str | None) -> Iterator[Served]:
    """Real vLLM on the tiny checkpoint, spoilt or sound; states are recovered by the sound output layer."""
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
        tiny = fixture("tiny-gpt-oss", "config.json").parent
        source = tiny if damage is None else damaged_copy(tiny, Path(scratch) / "spoilt", damage)
        export(Path(scratch) / "checkpoint", source)
        with vllm_cpu.serving(
            Path(scratch) / "checkpoint", start_date=PINNED_DATE, log=Path(scratch) / "log",
            chat_flags=(*vllm_cpu.CHAT_FLAGS, *MANY_LOGPROBS),
        ) as url:  # fmt: skip
            yield Served(url, (*recovered(tiny, positions=32), *PATIENT))


@contextmanager
def behind(handler: Callable[[], Handler], *options: str) -> Iterator[Served]:
    """The sound reference server behind a proxy with a handler made anew."""
    with reference() as served, proxy(served.url, handler()) as url:
        yield Served(url, options)
