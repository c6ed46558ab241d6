"""Every row of the matrix: the defects, what should notice each, and the controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial

from detection.bench import bench_rows
from detection.checkpoints import DAMAGES
from detection.proxy import pass_on
from detection.recordings import OWN_ROUNDING, VLLM
from detection.row import BASELINE, FAIL, FAMILIES, Row, Served, families_of
from detection.servers import MANY_LOGPROBS, behind, damaged, real_vllm, recovered, reference
from detection.stress import NAMED, UNDER_STRESS, stress_rows
from detection.wire import FAULTS, other_vocabulary, replicas
from pytest_gptoss.model.resources import fixture
from pytest_gptoss.reference.defects import DEFECTS

__all__ = ["REPETITIONS", "all_rows"]

REPETITIONS = 20
"""Sound repetitions without ``--repeat``; 59 without an alarm are what a claim of 95% needs."""


def _fails(*columns: str) -> Mapping[str, str]:
    return dict.fromkeys(columns, FAIL)


NUMBERS = _fails("precision.perplexity_diff", "precision.kl")
ROUNDING = _fails("precision.error_ratio")

EXPECT: Mapping[str, Mapping[str, str]] = {
    "plain-swiglu": _fails("precision.perplexity_diff"),
    "no-sinks": NUMBERS,
    "no-sliding-window": {**NUMBERS, "needle.recall": FAIL},
    "no-yarn": {**NUMBERS, "needle.recall": FAIL},
    "zero-expert": _fails("precision.perplexity_diff"),
    "top1-routing": _fails("precision.perplexity_diff"),
    "int4-experts": NUMBERS,
    "decode-no-sinks": _fails("precision.decode_prefill"),
    # Prompts and answers are cached alike, so decoding agrees with prefilling.
    "kv-shift": _fails("precision.kl", "needle.recall", "stress.position_drift"),
    "nan-logits": {"precision.token_match_rate": "logits are NaN"},
    "repeat-token": _fails("precision.token_match_rate"),
    "flaky-expert": {},
    "harmony-leak": _fails("precision.leakage"),
    "wrong-date": _fails("inputs.identical"),
    "truncate-context": {"needle.recall": "something cuts prompts short"},
    "slow-prefill": _fails("performance.ttft"),
    "slow-decode": _fails("performance.tpot"),
    "keeps-aborted": _fails("capability.abort_frees"),
    "stall": {"precision.token_match_rate": "no further token or end", "performance.completed": FAIL},
    "weights-8bit": {},
    "weights-6bit": {**ROUNDING, "precision.hidden_cosine": FAIL},
    "weights-4bit": NUMBERS,
    "noise-0.001": {},
    "noise-0.01": {**ROUNDING, "precision.hidden_cosine": FAIL},
    "noise-0.1": NUMBERS,
    "wire-shifted-logprobs": {"precision.decode_prefill": "contradicts itself"},
    "wire-other-token": _fails("precision.decode_prefill", "precision.token_match_rate"),
    "wire-slow-first-byte": _fails("performance.ttft"),
    "wire-swapped-answers": _fails("inputs.identical"),
    "wire-similar-cache": _fails("inputs.identical"),
    "wire-question-cache": _fails("needle.control"),
    "wire-coarse-cache": _fails("stress.prefix_cache_drift"),
    "wire-stall": _fails("performance.tpot"),
    "wire-sentinel-logprobs": dict.fromkeys(
        ("precision.token_match_rate", "precision.decode_prefill"), "is -9999.0"
    ),
    "wire-zero-logprobs": dict.fromkeys(
        ("precision.decode_prefill", "precision.kl", "precision.perplexity_diff"),
        "as the log-probability of all",
    ),
    "wire-channel-words": _fails("precision.leakage"),
    # The needles are found in the ids: what is lost is the parser's, and so are the rows.
    "wire-lost-content": _fails("capability.reasoning", "capability.streaming"),
    "wire-call-in-content": _fails(
        "capability.tools_auto", "capability.tools_required", "capability.tools_named"
    ),
    "wire-garbage-when-long": {
        "needle.recall": FAIL,
        "needle.control": "does not show whether the model names a code",
    },
}
"""How the columns look that should notice, by row. A fault of the wire without an entry makes answers that
the client refuses: the columns of greedy answers are INVALID, for what the client said."""

GREEDY = ("precision.token_match_rate", "precision.rouge_l")

UNSEEN: Mapping[str, str] = {
    "weights-8bit": "eight bits in groups of 32 are coarser than bfloat16 (errors of 0.23% to 0.58% of a "
    "matrix's root mean square, against 0.16%), which the error ratio alone sees (`sensitivity.md`): this "
    "row has no baseline that rounds",
    "noise-0.001": "bfloat16 rounds by up to 0.004 of a weight, more than this noise",
    "flaky-expert": "a fault in one forward pass of 500 falls on few answers of so few prompts, or on none: "
    "`fleet.repeat` asks often enough",
    "wire-stall": "the stream goes on and is whole; one in ten shows in the tails of TPOT, which are tabled "
    "and gated by a user's thresholds alone, not in its median",
}

ELSEWHERE = (
    "coarse-cache", "question-cache", "slow-first-byte", "stall",
    "lost-content", "call-in-content", "garbage-when-long",
)  # fmt: skip
"""Faults of the wire that are run on the families of their named checks alone, not on precision."""

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "stall": ("--gptoss-timeout=10",),
    "kv-shift": ("-k", "not test_stress or position_drift"),
}
"""What a defect's row adds to the command: a short wait; of the rows under stress the one that is meant."""

QUICK: Mapping[str, str] = {"coarse-cache": "prefix_cache"}
"""Of a fault of the wire, pytest's ``-k`` of the fast choice."""

BESIDE: Mapping[str, str] = {
    OWN_ROUNDING: "beside the reference server's own bfloat16",
    VLLM: "beside real vLLM's bfloat16",
}
"""Recorded baselines that round, as rows call them."""

FINE = ("weights-6bit", "noise-0.01")
"""Damage that KL and perplexity miss: judged by the error ratio, against a baseline that rounds as well."""


def all_rows(*, repeat: int = REPETITIONS) -> tuple[Row, ...]:
    """Every row in reading order."""
    return (
        *_numerics(),
        *stress_rows(),
        *_recovered(),
        *_real(),
        *_wire(),
        *bench_rows(),
        *_controls(repeat),
    )


# -- rows -------------------------------------------------------------------------------------


def _numerics() -> Iterator[Row]:
    for defect in DEFECTS.values():
        if defect.name in NAMED:
            continue
        expect = EXPECT[defect.name]
        # What is slow is slow in all it does, so only the families that should notice are run.
        timing = defect.kind == "timing"
        families = families_of(expect) if timing else _with_stress(expect)
        yield Row(
            defect.name, "timing" if timing else "numerics", defect.explanation,
            partial(reference, defect=defect.name, options=OPTIONS.get(defect.name, ())),
            expect, UNSEEN.get(defect.name), families,
        )  # fmt: skip
    for damage in DAMAGES:
        if damage in EXPECT and damage not in DEFECTS:
            yield Row(
                damage, "numerics", _told(damage), partial(damaged, damage), EXPECT[damage],
                UNSEEN.get(damage), graded=True, against=VLLM if damage in FINE else BASELINE,
            )  # fmt: skip
    yield Row(
        "own-weights-6bit", "numerics", f"{_what('weights-6bit')}, {BESIDE[OWN_ROUNDING]}",
        partial(damaged, "weights-6bit"), ROUNDING, families="precision", against=OWN_ROUNDING,
    )  # fmt: skip


def _with_stress(expect: Mapping[str, str]) -> str:
    """The families of most rows, and rows under stress where one of them is meant."""
    return UNDER_STRESS if any(name.startswith("stress.") for name in expect) else FAMILIES


def _recovered() -> Iterator[Row]:
    """Hidden states from log-probabilities: a spoilt output layer is refused, all else moves the cosine."""
    options = (*recovered(fixture("tiny-gpt-oss")), "-k", "precision.hidden_cosine")
    for damage in ("weights-4bit", "noise-0.1"):
        yield Row(
            f"recovered-{damage}", "numerics", f"{_what(damage)}, states recovered",
            partial(damaged, damage, *MANY_LOGPROBS, options=options),
            {"precision.hidden_cosine": "lm_head.weight"},
        )  # fmt: skip
    for defect in ("no-sinks", "kv-shift"):
        yield Row(
            f"recovered-{defect}", "numerics", f"{DEFECTS[defect].explanation}; states recovered",
            partial(reference, *MANY_LOGPROBS, defect=defect, options=options),
            _fails("precision.hidden_cosine"),
        )  # fmt: skip


def _told(damage: str) -> str:
    return f"{_what(damage)}, {BESIDE[VLLM]}" if damage in FINE else _what(damage)


def _what(damage: str) -> str:
    return "every matrix rounded" if "bit" in damage else "normal noise, relative to each matrix"


def _real() -> Iterator[Row]:
    for damage in ("plain-swiglu", "zero-expert", "no-sinks", "int4-experts"):
        yield Row(
            f"vllm-{damage}", "real vLLM", f"{damage} in the weights", partial(real_vllm, damage),
            EXPECT[damage], families="precision",
        )  # fmt: skip
    yield Row("vllm-sound", "controls", "real vLLM on the sound checkpoint", partial(real_vllm, None),
              families="precision")  # fmt: skip


def _wire() -> Iterator[Row]:
    for fault in FAULTS.values():
        refused = dict.fromkeys(GREEDY, fault.said) if fault.said else {}
        expect = EXPECT.get(f"wire-{fault.name}", refused)
        elsewhere = fault.name in ELSEWHERE
        yield Row(
            f"wire-{fault.name}", "wire", fault.explanation, partial(behind, fault.handler), expect,
            UNSEEN.get(f"wire-{fault.name}"), families_of(expect) if elsewhere else "precision",
            quick=QUICK.get(fault.name, ""),
        )  # fmt: skip
    yield Row(
        "wire-yesterday", "wire", "the server was started with yesterday's date",
        partial(reference, date="2025-12-31"), _fails("inputs.identical"), families="precision",
    )  # fmt: skip
    yield Row(
        "wire-other-vocabulary", "wire", "the server has another tokenizer",
        partial(behind, other_vocabulary), _fails("preflight.tokenizer"), families="preflight",
    )  # fmt: skip


def _controls(repeat: int) -> Iterator[Row]:
    sound: dict[str, tuple[str, Callable[[], AbstractContextManager[Served]]]] = {
        "one-thread": ("one thread", partial(reference, "--threads=1")),
        "three-threads": ("three threads", partial(reference, "--threads=3")),
        "one-at-a-time": ("batches of one", partial(reference, "--max-num-seqs=1")),
        "small-batches": ("batches of three", partial(reference, "--max-num-seqs=3")),
        "behind-a-proxy": ("a proxy that passes all on", partial(behind, lambda: pass_on)),
    }
    options = (*recovered(fixture("tiny-gpt-oss")), "-k", "precision.hidden_cosine")
    sound["recovered-sound"] = (
        "hidden states recovered from log-probabilities",
        partial(reference, *MANY_LOGPROBS, options=options),
    )
    for name, (what, serve) in sound.items():
        yield Row(name, "controls", what, serve)
    for name, against in (("own-sound", OWN_ROUNDING), ("beside-vllm", VLLM)):
        yield Row(name, "controls", f"the sound server {BESIDE[against]}", reference,
                  families="precision", against=against)  # fmt: skip
    for family in ("capability", "performance", "preflight"):
        yield Row(f"sound-{family}", "controls", f"the sound pair's {family}", reference, families=family)
    yield Row(
        "two-replicas", "controls", "two replicas behind one address", partial(behind, replicas),
        families="preflight",
    )  # fmt: skip
    for number in range(1, repeat + 1):
        yield Row(f"again-{number:02d}", "repetitions", "the sound pair once more", reference)
