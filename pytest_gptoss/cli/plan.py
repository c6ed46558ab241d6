"""``pytest-gptoss plan``: memory estimate and serve lines for a set of cards."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pytest_gptoss.cli.command import FAILED, Command
from pytest_gptoss.cli.numbers import number, whole_number
from pytest_gptoss.model.gptoss import CONTEXT

__all__ = ["COMMAND"]

GUIDE_CARD_GB = "64"
"""Memory of the acceptance guide's card, an Atlas 800 A2 (910B), in units of 10^9 bytes."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device-memory", default=GUIDE_CARD_GB, metavar="GB",
        help=f"memory of one card, 10^9 bytes (default {GUIDE_CARD_GB}, an Atlas 800 A2)",
    )  # fmt: skip
    parser.add_argument("--cards", default="1", metavar="N", help="how many cards there are (default 1)")
    parser.add_argument(
        "--context", default=str(CONTEXT), metavar="N", help=f"--max-model-len (default {CONTEXT})"
    )
    parser.add_argument("--max-num-seqs", default="16", metavar="N", help="requests at once (default 16)")
    parser.add_argument(
        "--gpu-memory-utilization", default="0.9", metavar="SHARE", help="share of a card vLLM may take"
    )
    parser.add_argument("--model", metavar="DIR", help="checkpoint (default: the 20B model's figures)")


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    # Imported here: the other subcommands need no thresholds.
    from pytest_gptoss.cli.serving_plan import GPT_OSS_20B, plan_lines, read_architecture

    model = read_architecture(Path(known.model)) if known.model else GPT_OSS_20B
    lines, fits = plan_lines(
        model,
        _bf16_checkpoint(known.model, mxfp4=model.mxfp4),
        memory_gb=number("--device-memory", known.device_memory, above=0, most=100_000),
        cards=whole_number("--cards", known.cards, most=1024),
        context=whole_number("--context", known.context, most=10**7),
        sequences=whole_number("--max-num-seqs", known.max_num_seqs, most=10**6),
        utilization=number("--gpu-memory-utilization", known.gpu_memory_utilization, above=0, most=1),
    )
    print("\n".join([*lines, *(("", _time_needed()) if fits else ())]))
    return 0 if fits else FAILED


def _time_needed() -> str:
    """How long all rows of the default profile take on a device that keeps its targets."""
    # Imported here: the arithmetic above needs no profile.
    from pytest_gptoss.config.plan import make_plan
    from pytest_gptoss.config.settings import Settings
    from pytest_gptoss.judge.roles import Roles
    from pytest_gptoss.run.estimated_time import family_minutes, in_words

    plan = make_plan(Settings())
    roles = Roles("npu", gpu="gpu", needle_lengths=plan.needle_lengths)
    minutes = in_words(family_minutes(plan, roles))
    return (
        f"All rows of profile {plan.profile.name} take at most {minutes} on a device that keeps its targets "
        "for TTFT and TPOT."
    )


def _bf16_checkpoint(model: str | None, *, mxfp4: bool) -> str:
    """The checkpoint to serve: the one named, or what stands for its BF16 form."""
    named = (model or "/models/gpt-oss-20b").rstrip("/")
    return f"{named}-bf16" if mxfp4 else named


COMMAND = Command("plan", "memory estimate and serve lines for a set of cards", _add_arguments, _run)
