"""``pytest-gptoss hidden``: record hidden states of the fixed sequences, by either way."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_gptoss.cli.command import Command
from pytest_gptoss.cli.numbers import number
from pytest_gptoss.cli.output_file import refuse_unwritable
from pytest_gptoss.config.option_types import CHECKPOINT_OR_FILE
from pytest_gptoss.config.options import DEFAULT_PROFILE, OPTION
from pytest_gptoss.model.errors import UsageError

if TYPE_CHECKING:
    from pytest_gptoss.scenarios.state_recovery import Recovery

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", required=True, metavar="URL", help="pooling server; with --lm-head a generating one"
    )
    parser.add_argument("--output", required=True, metavar="FILE.npz", help="file to write")
    parser.add_argument("--role", choices=("npu", "gpu", "cpu"), default="npu", help="whose API key to use")
    parser.add_argument("--model", metavar="NAME", help="served name (default: the one it lists)")
    parser.add_argument(
        "--lm-head",
        metavar="DIR|FILE",
        help="checkpoint: recover states from log-probabilities",
    )
    parser.add_argument(
        "--positions", metavar="N", help="positions to recover, over all sequences (with --lm-head; 128)"
    )
    parser.add_argument("--profile", default=DEFAULT_PROFILE, help="profile whose sequences are recorded")
    parser.add_argument("--timeout", default="60", metavar="S", help="longest wait for an answer (60)")
    parser.add_argument("--ca-bundle", type=Path, metavar="FILE", help="certificates to trust for https")


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    # Imported here: the other subcommands need no client.
    from pytest_gptoss.cli.hidden_recording import record_hidden
    from pytest_gptoss.client.timeouts import Timeouts

    seconds = number("--timeout", known.timeout, above=0, most=86_400)
    output = Path(known.output)
    refuse_unwritable(output)
    if known.positions is not None and known.lm_head is None:
        raise UsageError("--positions: states of every token are recorded from /pooling; add --lm-head DIR")
    count = record_hidden(
        url=known.url,
        output=output,
        role=known.role,
        model=known.model,
        profile=known.profile,
        recovery=_recovery(known),
        timeouts=Timeouts.for_unary_answers(seconds, "--timeout"),
        ca_bundle=known.ca_bundle,
        tell=lambda text: print(text, file=sys.stderr),
    )
    print(f"recorded the hidden states of {count} sequences in {output}")
    return 0


def _recovery(known: argparse.Namespace) -> Recovery | None:
    """How the states are recovered; None where they come from ``/pooling``."""
    if known.lm_head is None:
        return None
    from pytest_gptoss.scenarios.state_recovery import Recovery

    head = CHECKPOINT_OR_FILE.read(known.lm_head, "--lm-head")
    option = OPTION["hidden_positions"]
    given = known.positions
    positions = option.default if given is None else option.type.read(given, "--positions")
    return Recovery(head, positions, frozenset())


COMMAND = Command("hidden", "record hidden states of the fixed sequences", _add_arguments, _run)
