"""Recorded baselines that rows are judged by: what a GPU said once, and what an FP32 reference said of it.

Most rows have the reference server in FP32 as their GPU, which has no rounding of its own. The error ratio
compares roundings, so its rows have a GPU in bfloat16: real vLLM, which rounds in other places than the
reference server, or the reference server itself where no vLLM is installed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import accept_vllm
import vllm_cpu

from detection.row import BASELINE, Served
from detection.servers import PATIENT, reference
from detection.stress import UNDER_STRESS
from pytest_gptoss.reference.export import export
from pytest_gptoss.servers.embedded import PINNED_DATE

__all__ = ["OWN_ROUNDING", "RECORDINGS", "VLLM", "Recording"]

OWN_ROUNDING = "own-baseline"
VLLM = "vllm-baseline"
BESIDE_GPU = "not test_stress or chunked_prefill or position_drift"
"""pytest's ``-k`` of what a baseline is needed for: of the rows under stress, those that compare with it."""


@dataclass(frozen=True)
class Recording:
    """A baseline to record: ``serve`` yields a sound NPU and the options that name GPU and CPU.

    ``families`` is pytest's ``-m``, and so what later rows can be judged on. ``accepted``: whether the sound
    NPU must be accepted beside it, or nothing is recorded.
    """

    name: str
    what: str
    serve: Callable[[], AbstractContextManager[Served]]
    families: str = "precision"
    accepted: bool = True


@contextmanager
def _sound_pair() -> Iterator[Served]:
    with reference() as npu, reference(dtype="float32") as gpu:
        yield Served(npu.url, (f"--gpu-url={gpu.url}", "-k", BESIDE_GPU))


@contextmanager
def _own_rounding() -> Iterator[Served]:
    with reference() as npu, reference() as gpu, reference(dtype="float32") as cpu:
        yield Served(npu.url, (f"--gpu-url={gpu.url}", f"--cpu-url={cpu.url}"))


@contextmanager
def _on_vllm() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="gptoss-") as scratch:
        folder = Path(scratch)
        checkpoint = folder / "checkpoint"
        export(checkpoint)
        accept_vllm.record_hidden(checkpoint, vllm_cpu.default_venv(), folder)
        with (
            vllm_cpu.serving(checkpoint, start_date=PINNED_DATE, log=folder / "log") as gpu,
            reference() as npu,
            reference(dtype="float32") as cpu,
        ):
            hidden = folder / accept_vllm.HIDDEN
            gpu_options = (f"--gpu-url={gpu}", f"--gptoss-hidden-gpu={hidden}")
            yield Served(npu.url, (*gpu_options, f"--cpu-url={cpu.url}", *PATIENT))


RECORDINGS: Mapping[str, Recording] = MappingProxyType(
    {
        each.name: each
        for each in (
            Recording(BASELINE, "the reference server in FP32", _sound_pair, UNDER_STRESS),
            Recording(OWN_ROUNDING, "the reference server in bfloat16, its FP32 as the CPU", _own_rounding),
            Recording(VLLM, "real vLLM in bfloat16, the reference server's FP32 as the CPU", _on_vllm),
        )
    }
)
"""Every recorded baseline by its name."""
