"""The same degrees of damage on an ordinary chat model, served by real vLLM: one less sure than the tiny one.

The reference server serves GPT-OSS alone, so the FP32 reference is real vLLM as well. The suite refuses the
vocabulary of another model, and that row is waived.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import vllm_cpu

from detection.checkpoints import damaged_copy
from detection.degrees import SOUND
from detection.recordings import Recording
from detection.row import Row, Served
from detection.servers import PATIENT

__all__ = ["CHAT", "chat_recording", "chat_rows"]

CHAT = "chat-baseline"
CONTEXT = 4096
OPTIONS = (
    "--gptoss-waive=preflight.tokenizer=a chat model that is not GPT-OSS",
    "--gptoss-waive=preflight.baseline=so are the baseline and the CPU",
    "--gptoss-waive=precision.hidden_cosine=one server at a time",
    "--gptoss-info=cpu.dtype=float32",
    "-p",
    "detection.chat_stops",
    *PATIENT,
)


def chat_recording(model: Path) -> Recording:
    """The chat model in bfloat16 as the baseline, in FP32 as the CPU.

    A model less sure than the tiny one breaks limits by rounding alone, so nothing has to pass.
    """
    what = "real vLLM in bfloat16 on the chat model, its FP32 as the CPU"
    return Recording(CHAT, what, partial(_recorded, model), accepted=False)


def chat_rows(model: Path, degrees: Sequence[str]) -> tuple[Row, ...]:
    """A row for each degree: the damaged chat model against the recording."""
    return tuple(
        Row(f"chat-{degree}", "real vLLM", degree, partial(_damaged, model, degree), families="precision",
            against=CHAT)
        for degree in degrees
    )  # fmt: skip


@contextmanager
def _recorded(model: Path) -> Iterator[Served]:
    with _serving(model, "bfloat16") as gpu, _serving(model, "float32") as cpu:
        # One server is device and baseline here: recording needs a device, and a third server costs memory.
        one = "--gptoss-waive=preflight.distinct=the baseline is recorded beside itself"
        yield Served(gpu, (f"--gpu-url={gpu}", f"--cpu-url={cpu}", one, *OPTIONS))


@contextmanager
def _damaged(model: Path, degree: str) -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
        folder = model if degree == SOUND else damaged_copy(model, Path(scratch) / "spoilt", degree)
        with _serving(folder, "bfloat16") as url:
            yield Served(url, OPTIONS)


@contextmanager
def _serving(model: Path, dtype: str) -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="gptoss-") as scratch,
        vllm_cpu.serving(
            model, dtype=dtype, chat_flags=(), max_model_len=CONTEXT, served_model_name="chat",
            log=Path(scratch) / "log",
        ) as url,
    ):  # fmt: skip
        yield url
