"""Train, evaluate and export the tiny GPT-OSS checkpoint that the embedded pair serves.

    python tools/train_tiny.py --output DIR            train from nothing, write DIR/model.safetensors
    python tools/train_tiny.py --output DIR --from FILE    the same from earlier compact weights
    python tools/train_tiny.py --output DIR --export   write the weights as they are in the middle of a run
    python tools/train_tiny.py --output DIR --average FILE...    the mean of several runs' weights
    python tools/train_tiny.py --evaluate [DIR]        print the model card's tables, of the shipped weights

A run keeps its state in DIR/state.pt and goes on from it when started again. At its end it prints the tables.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import torch  # noqa: E402 - found only after the path is set
from tiny import checkpoint, seeding  # noqa: E402
from tiny.batches import Rows  # noqa: E402
from tiny.guards import Guards  # noqa: E402
from tiny.network import CONFIG, Network, shape_of  # noqa: E402
from tiny.training import Plan, Trainer, saved_ids  # noqa: E402

__all__ = ["main"]

SHIPPED = ROOT / "fixtures" / "tiny-gpt-oss"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when it did what was asked."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.evaluate is not None:
        evaluate(Path(options.evaluate))
        return 0
    if options.output is None:
        _parser().error("--output DIR is needed to train (or --evaluate)")
    if options.average:
        average(options.average, options.output)
    else:
        train(options)
    return 0


def evaluate(folder: Path) -> None:
    """Print what the weights in a folder can do, and what they cannot do without."""
    from tiny import report

    report.show(folder, tell)


def tell(line: str) -> None:
    """Print a line at once, for a run that takes minutes."""
    print(line, flush=True)


def average(files: list[Path], folder: Path) -> None:
    """Write the mean of several compact weights."""
    tensors, used = checkpoint.averaged(files)
    network = Network(shape_of(), len(used) + 1)
    network.load_state_dict(tensors)
    _write(network, used, folder)


def train(options: argparse.Namespace) -> None:
    """Train as asked and write the compact weights."""
    torch.manual_seed(options.seed)
    state = options.output / "state.pt"
    if options.export and not state.is_file():
        raise SystemExit(
            f"--export: {state} does not exist, so there is nothing trained to write: run without it"
        )
    rows = Rows.of(saved_ids(state)) if state.is_file() else Rows.of_domain()
    network = Network(shape_of(), rows.count)
    plan = Plan(tokens=options.tokens * 1e6, rate=options.rate, seed=options.seed)
    if options.start is not None:
        known = checkpoint.warm_start(network, rows.used, options.start)
        seeding.outlier_channels(network, undo=True)
        print(f"{known} of {rows.count} rows come from {options.start}", flush=True)
        plan = Plan(plan.tokens, plan.rate, plan.seed, hinge_from=0.05, start=0.35)
    else:
        seeding.induction(network)
    seeding.raise_sinks(network, 3.0)
    network.to(options.device)
    trainer = Trainer(network, rows, plan, torch.device(options.device), Guards.of(network))
    options.output.mkdir(parents=True, exist_ok=True)
    if state.is_file():
        trainer.resume(state)
        print(f"going on at {trainer.progress:.1%}", flush=True)
    if not options.export:
        trainer.run(state, tell)
    export(network, rows, options.output)
    if trainer.progress >= 1:
        evaluate(options.output)


def export(network: Network, rows: Rows, folder: Path) -> None:
    """Write the compact weights of a trained network, with its outlier channels, and the config."""
    seeding.outlier_channels(network)
    _write(network, rows.used, folder)


def _write(network: Network, used: tuple[int, ...], folder: Path) -> None:
    file = folder / "model.safetensors"
    checkpoint.save_compact(network, used, file)
    shutil.copyfile(CONFIG, folder / "config.json")
    print(f"wrote {file}, {file.stat().st_size / 1e6:.1f} MB", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="folder for the weights and the state of the run")
    parser.add_argument("--from", dest="start", type=Path, help="compact weights to start from")
    parser.add_argument("--average", type=Path, nargs="+", metavar="FILE", help="compact weights to average")
    parser.add_argument("--export", action="store_true", help="train no more, write what there is")
    parser.add_argument("--tokens", type=float, default=20, help="length of the run in millions of tokens")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--evaluate", nargs="?", const=str(SHIPPED), metavar="DIR", help="print the tables for weights"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
