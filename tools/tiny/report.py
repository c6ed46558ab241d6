"""The two tables of a checkpoint: what it can do, and what it cannot do without."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch

from pytest_gptoss.model.gptoss import END
from tiny import checkpoint, exam
from tiny.damage import DAMAGES, SOUND
from tiny.domain import Language
from tiny.evaluation import Examiner
from tiny.exam import Task
from tiny.network import Network, shape_of

__all__ = ["defect_table", "domain_table", "needle_table", "open_checkpoint", "show"]

_Tell = Callable[[str], None]
_LANGUAGES: tuple[Language, ...] = ("en", "zh")


_EVERY = 3
"""The defect table looks at one prompt in so many: all kinds are among them."""

_NEEDLES = ((256, 20), (512, 20), (1024, 20), (2048, 20), (4096, 20), (8192, 2))
"""Prompt tokens, and trials at each depth; beyond 4,096 only to say how far it reaches."""


def show(folder: Path, tell: _Tell) -> None:
    """Print all tables for the weights in ``folder`` (model.safetensors and config.json)."""
    examiner = open_checkpoint(folder)
    tasks = exam.tasks()
    answers = examiner.greedy(tasks)
    domain_table(folder, tasks, answers, tell)
    defect_table(examiner, tasks[::_EVERY], answers[::_EVERY], tell)
    needle_table(examiner, _NEEDLES, tell)


def open_checkpoint(folder: Path) -> Examiner:
    """The network of a compact checkpoint, ready to be examined."""
    tensors, used = checkpoint.load_compact(folder / "model.safetensors")
    network = Network(shape_of(folder / "config.json"), len(used) + 1)
    network.load_state_dict(tensors)
    return Examiner(network, used)


# -- domain -------------------------------------------------------------------------------------


def domain_table(
    folder: Path, tasks: Sequence[Task], answers: Sequence[tuple[int, ...]], tell: _Tell
) -> None:
    """Print, by kind: answers as taught, and the share that transformers repeats in FP32 and BF16."""
    pairs = [(task.prompt, answer) for task, answer in zip(tasks, answers, strict=True)]
    same = {dtype: _transformers_agrees(folder, pairs, dtype) for dtype in ("float32", "bfloat16")}
    tell("\n| prompts | as taught | transformers FP32 equal | transformers BF16 equal |\n|---|---|---|---|")
    for kind in (*exam.KINDS, "all"):
        chosen = [i for i, task in enumerate(tasks) if kind in {task.kind, "all"}]
        right = sum(tasks[i].answer == answers[i] for i in chosen)
        counts = " | ".join(f"{sum(same[d][i] for i in chosen)}/{len(chosen)}" for d in same)
        tell(f"| {kind} | {right}/{len(chosen)} | {counts} |")
    lengths = {
        effort: [
            _analysis(answer) for task, answer in zip(tasks, answers, strict=True) if task.kind == effort
        ]
        for effort in ("low effort", "high effort")
    }
    told = ", ".join(f"{sum(found) / len(found):.1f} at {effort}" for effort, found in lengths.items())
    tell(f"\nTokens of the analysis, mean: {told}.")


def _analysis(answer: tuple[int, ...]) -> int:
    """Tokens of the analysis that an answer begins with."""
    return answer.index(END) - 3 if END in answer else len(answer)


@torch.no_grad()
def _transformers_agrees(
    folder: Path,
    pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]],
    dtype: Literal["float32", "bfloat16"],
) -> list[bool]:
    """Whether transformers' own model gives each answer greedily."""
    from pytest_gptoss.reference.checkpoint import load

    loaded = load(folder, dtype)
    loaded.model.set_attn_implementation("eager")
    agrees = []
    for prompt, answer in pairs:
        rows = loaded.vocabulary.rows(torch.tensor([prompt + answer]))
        logits = loaded.model(rows, use_cache=False).logits[0, len(prompt) - 1 : -1]
        agrees.append(bool((logits.argmax(-1) == rows[0, len(prompt) :]).all()))
    return agrees


def needle_table(examiner: Examiner, sizes: Sequence[tuple[int, int]], tell: _Tell) -> None:
    """Print hits by language, prompt length and depth; a hit is the whole answer as taught."""
    tell("\n| needle, prompt tokens | " + " | ".join(f"{depth:.0%}" for depth in exam.DEPTHS) + " |")
    tell("|---" * (len(exam.DEPTHS) + 1) + "|")
    for tokens, trials in sizes:
        for language in _LANGUAGES:
            cells = [_needle_cell(examiner, language, tokens, depth, trials) for depth in exam.DEPTHS]
            name = "English" if language == "en" else "Chinese"
            tell(f"| {name}, {tokens} | " + " | ".join(f"{hits}/{trials}" for hits in cells) + " |")


def _needle_cell(examiner: Examiner, language: Language, tokens: int, depth: float, trials: int) -> int:
    r = random.Random(f"{language} {tokens} {depth}")
    tasks = [exam.needle_task(r, language, tokens, depth) for _ in range(trials)]
    return sum(result.equal for result in examiner.force([(task.prompt, task.answer) for task in tasks]))


# -- defects ------------------------------------------------------------------------------------


def defect_table(
    examiner: Examiner, tasks: Sequence[Task], answers: Sequence[tuple[int, ...]], tell: _Tell
) -> None:
    """Print what each damage does to perplexity and to the greedy sequences.

    It is seen when perplexity moves by more than 2% or more than a tenth of the sequences flip.
    """
    sound = examiner.examine(tasks, answers, SOUND)
    tell(f"\n| defect | perplexity ({sound.perplexity:.4f}) | sequences flipped | seen |\n|---|---|---|---|")
    for name, damage in DAMAGES.items():
        found = examiner.examine(tasks, answers, damage)
        flipped = found.total - found.equal
        seen = abs(found.perplexity / sound.perplexity - 1) > 0.02 or flipped > found.total / 10
        tell(f"| {name} | {found.perplexity:.4f} | {flipped}/{found.total} | {'yes' if seen else 'NO'} |")
