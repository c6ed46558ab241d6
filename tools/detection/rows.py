"""Every row of the matrix: the defects, what should notice each, and the controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial

from detection.bench import bench_rows
from detection.checkpoints import DAMAGES
from detection.proxy import pass_on
from detection.row import FAMILIES, Row, Served, families_of
from detection.servers import behind, damaged, real_vllm, reference
from detection.wire import FAULTS
from pytest_gptoss.reference.defects import DEFECTS

__all__ = ["REPETITIONS", "all_rows"]

REPETITIONS = 20
"""Sound repetitions without ``--repeat``; 59 without an alarm are what a claim of 95% needs."""

GREEDY = ("precision.token_match_rate", "precision.rouge_l", "inputs.identical")

NAMED: Mapping[str, tuple[str, ...]] = {
    "plain-swiglu": ("precision.perplexity_diff",),
    "no-sinks": ("precision.perplexity_diff", "precision.kl"),
    "no-sliding-window": ("precision.perplexity_diff", "precision.kl", "needle.recall"),
    "no-yarn": ("precision.perplexity_diff", "precision.kl", "needle.recall"),
    "zero-expert": ("precision.perplexity_diff",),
    "top1-routing": ("precision.perplexity_diff",),
    "int4-experts": ("precision.perplexity_diff", "precision.kl"),
    "decode-no-sinks": ("precision.decode_prefill",),
    "kv-shift": ("precision.decode_prefill", "precision.kl", "needle.recall"),
    "nan-logits": ("precision.token_match_rate",),
    "repeat-token": ("precision.token_match_rate",),
    "harmony-leak": ("precision.leakage",),
    "wrong-date": ("inputs.identical",),
    "truncate-context": ("needle.recall",),
    "slow-prefill": ("performance.ttft",),
    "slow-decode": ("performance.tpot",),
    "keeps-aborted": ("capability.abort_frees",),
    "stall": ("precision.token_match_rate", "performance.completed"),
    "weights-8bit": (),
    "weights-6bit": ("precision.hidden_cosine",),
    "weights-4bit": ("precision.perplexity_diff", "precision.kl"),
    "noise-0.001": (),
    "noise-0.01": ("precision.hidden_cosine",),
    "noise-0.1": ("precision.perplexity_diff", "precision.kl"),
    "wire-shifted-logprobs": ("precision.decode_prefill",),
    "wire-other-token": ("precision.decode_prefill", "precision.token_match_rate"),
    "wire-slow-first-byte": ("performance.ttft",),
    "wire-swapped-answers": ("inputs.identical",),
    "wire-similar-cache": ("inputs.identical",),
    "wire-question-cache": ("needle.control",),
    "wire-stall": ("performance.tpot",),
}
"""The columns that should turn red, by row; a fault of the wire without an entry: the greedy rows."""

UNSEEN: Mapping[str, str] = {
    "weights-8bit": "the rounding of eight bits in groups of 32 is finer than bfloat16's own",
    "weights-6bit": "perplexity and KL were expected to see it and do not, hidden states alone do",
    "noise-0.01": "hidden states alone see it, which was not known before it was measured",
    "noise-0.001": "bfloat16 rounds by up to 0.004 of a weight, more than this noise",
    "wire-stall": "the stream goes on and is whole; one in ten shows in the tails of TPOT, which are tabled "
    "and gated by a user's thresholds alone, not in its median",
}

QUICK_STALL = ("--gptoss-timeout=10",)


def all_rows(*, repeat: int = REPETITIONS) -> tuple[Row, ...]:
    """Every row in reading order."""
    return (*_numerics(), *_real(), *_wire(), *bench_rows(), *_controls(repeat))


# -- rows -------------------------------------------------------------------------------------


def _numerics() -> Iterator[Row]:
    for defect in DEFECTS.values():
        named = NAMED[defect.name]
        # What is slow is slow in all it does, so only the families that should notice are run.
        timing = defect.kind == "timing"
        families = families_of(named) if timing else FAMILIES
        yield Row(
            defect.name, "timing" if timing else "numerics", defect.explanation,
            partial(reference, defect=defect.name, options=QUICK_STALL if defect.name == "stall" else ()),
            named, families=families,
        )  # fmt: skip
    for damage in DAMAGES:
        if damage not in DEFECTS:
            what = "every matrix rounded" if "bit" in damage else "normal noise, relative to each matrix"
            served = partial(damaged, damage)
            yield Row(damage, "numerics", what, served, NAMED[damage], UNSEEN.get(damage), graded=True)


def _real() -> Iterator[Row]:
    for damage in ("plain-swiglu", "zero-expert", "no-sinks", "int4-experts"):
        yield Row(
            f"vllm-{damage}", "real vLLM", f"{damage} in the weights", partial(real_vllm, damage),
            NAMED[damage], families="precision",
        )  # fmt: skip
    yield Row("vllm-sound", "controls", "real vLLM on the sound checkpoint", partial(real_vllm, None),
              families="precision")  # fmt: skip


def _wire() -> Iterator[Row]:
    for fault in FAULTS.values():
        named = () if fault.sound else NAMED.get(f"wire-{fault.name}", GREEDY)
        elsewhere = fault.name in ("question-cache", "slow-first-byte", "stall")
        yield Row(
            f"wire-{fault.name}", "wire", fault.explanation, partial(behind, fault.handler), named,
            UNSEEN.get(f"wire-{fault.name}"), families_of(named) if elsewhere else "precision",
        )  # fmt: skip
    yield Row(
        "wire-yesterday", "wire", "the server was started with yesterday's date",
        partial(reference, date="2025-12-31"), ("inputs.identical",), families="precision",
    )  # fmt: skip


def _controls(repeat: int) -> Iterator[Row]:
    sound: dict[str, tuple[str, Callable[[], AbstractContextManager[Served]]]] = {
        "one-thread": ("one thread", partial(reference, "--threads=1")),
        "three-threads": ("three threads", partial(reference, "--threads=3")),
        "one-at-a-time": ("batches of one", partial(reference, "--max-num-seqs=1")),
        "small-batches": ("batches of three", partial(reference, "--max-num-seqs=3")),
        "restarted": ("another start of the server", reference),
        "behind-a-proxy": ("a proxy that passes all on", partial(behind, lambda: pass_on)),
    }
    for name, (what, serve) in sound.items():
        yield Row(name, "controls", what, serve)
    for number in range(1, repeat + 1):
        yield Row(f"again-{number:02d}", "controls", "the sound pair once more", reference)
