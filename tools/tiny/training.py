"""The training loop: right answers when all is sound, wrong ones when a part is missing.

The second half is what makes the checkpoint depend on its parts: each step also runs one damaged forward
pass and pushes the loss of every sequence in it up to a margin (a hinge, so that nothing is gained by
going further). Which damage is drawn follows from which is still being survived.
"""

from __future__ import annotations

import math
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody gives it
from torch import Tensor

from tiny.batches import Batch, Rows, batches, stage
from tiny.conversations import FRAME, SAID, certain_ids
from tiny.damage import Damage
from tiny.guards import Guards
from tiny.network import Network

__all__ = ["HINGES", "Plan", "Trainer", "saved_ids"]

HINGES: dict[str, Damage] = {
    "no sinks": Damage(sinks=False),
    "no window": Damage(window=None),
    "window 64": Damage(window=64),
    "no yarn": Damage(yarn_frequencies=False, yarn_scale=False),
    "yarn frequencies": Damage(yarn_frequencies=False),
    "yarn scale": Damage(yarn_scale=False),
    "plain swiglu": Damage(gate="plain"),
    "no clamp": Damage(gate="unclamped"),
    "top-1": Damage(top_k=1),
    "early softmax": Damage(early_softmax=True),
    "mixed groups": Damage(mixed_groups=True),
    "int4": Damage(int4_along="output"),
    **{
        f"lost {layer}/{expert}": Damage(lost_expert=(layer, expert))
        for layer in range(4)
        for expert in range(4)
    },
}
"""The damages that training punishes, by a short name for the display."""

_REACH = {"no window": 132, "window 64": 68}
"""The first token, counted in the sequence, that such a damage can be seen at."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does. ``tokens`` is its length in positions computed by the sound pass: work, not time."""

    tokens: float = 20e6
    rate: float = 2e-3
    seed: int = 0
    hinge_from: float = 0.4
    hinge_weight: float = 1.0
    margin: float = 0.25
    start: float = 0.0
    noise: float = 0.01


@dataclass
class _Figures:
    """Running means for the display."""

    values: dict[str, float] = field(default_factory=dict)

    def see(self, name: str, value: float) -> None:
        old = self.values.get(name, value)
        self.values[name] = old + 0.05 * (value - old)


class Trainer:
    """A run that can be stopped and resumed at any step, on a CPU to the same weights."""

    def __init__(
        self, network: Network, rows: Rows, plan: Plan, device: torch.device, guards: Guards | None = None
    ) -> None:
        self.guards = guards
        self.network, self.rows, self.plan, self.device = network.to(device), rows, plan, device
        self.random = random.Random(plan.seed)
        self.steps, self.tokens, self.stopping = 0, 0, False
        self.figures = _Figures()
        self.survived = dict.fromkeys(HINGES, plan.margin)
        self.optimizer = torch.optim.AdamW(_groups(network), lr=plan.rate, betas=(0.9, 0.98), eps=1e-9)
        self._stream = self._batches()

    @property
    def progress(self) -> float:
        """Work done, 0 to 1."""
        return min(1.0, self.tokens / self.plan.tokens)

    # -- one step ---------------------------------------------------------------------------

    def step(self) -> None:
        """One batch, sound and, from the plan's share on, damaged."""
        batch = next(self._stream).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.optimizer.zero_grad(set_to_none=True)
        self._sound(batch).backward()  # type: ignore[no-untyped-call]
        if self.progress >= self.plan.hinge_from and (hinge := self._damaged(batch)) is not None:
            hinge.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.figures.see("gradient", float(norm))
        self.optimizer.step()
        if self.guards is not None:
            self.guards.hold()
        self.steps += 1
        self.tokens += batch.rows.numel()

    def _sound(self, batch: Batch) -> Tensor:
        states = self.network.hidden(batch.rows, batch.positions, noise=self.plan.noise)[:, :-1]
        classes, targets = batch.classes[:, 1:], batch.rows[:, 1:]
        said = classes == SAID
        chosen = said | ((classes != FRAME) & (torch.rand(classes.shape, device=self.device) < 0.1))
        wanted, own = targets[chosen], said[chosen]
        logits = self._logits(states[chosen])
        losses = F.cross_entropy(logits, wanted, reduction="none")
        digits = self.rows.digits.to(self.device)[wanted] & own
        weights = torch.where(own, 1.0, 0.3) * torch.where(digits, 2.0, 1.0)
        # What is said is never in doubt, so what is not yet sure counts more (Lin et al., arXiv 1708.02002).
        unsure = torch.where(own, 1 + 4 * (1 - (-losses.detach()).exp()), 1.0)
        right = (logits.argmax(-1) == wanted).float()
        self.figures.see("said", float(losses[own].detach().mean()))
        self.figures.see("right", float(right[own].mean()))
        if digits.any():
            self.figures.see("digits", float(right[digits].mean()))
        if not own.all():
            self.figures.see("prose", float(losses[~own].detach().mean()))
        return (losses * weights * unsure).sum() / weights.sum() + 0.01 * self.network.imbalance()

    def _damaged(self, batch: Batch) -> Tensor | None:
        """How far the sequences are from being spoilt by one damage; None where all are."""
        name = self._draw()
        said = (batch.classes[:, 1:] == SAID) & (
            torch.arange(1, batch.rows.shape[1], device=self.device) >= _REACH.get(name, 0)
        )
        counts = said.sum(1)
        # Half of the sequences are enough for a direction, and cost half.
        keep = (counts >= 4) & (torch.rand(len(counts), device=self.device) < 0.5)
        if not keep.any():
            return None
        said, rows = said[keep], batch.rows[keep]
        states = self.network.hidden(rows, batch.positions, HINGES[name])[:, :-1]
        losses = F.cross_entropy(self._logits(states[said]), rows[:, 1:][said], reduction="none")
        owner = said.nonzero()[:, 0]
        means = torch.zeros(len(rows), device=self.device).index_add(0, owner, losses) / counts[keep]
        short = F.relu(self.plan.margin - means).mean()
        self.survived[name] += 0.3 * (float(short.detach()) - self.survived[name])
        ramp = min(1.0, (self.progress - self.plan.hinge_from) / 0.1 + 0.1)
        return short * self.plan.hinge_weight * ramp if short > 0 else None

    def _draw(self) -> str:
        weights = [short + 0.02 * self.plan.margin for short in self.survived.values()]
        single = [
            w / 4 if name.startswith("lost") else w for name, w in zip(self.survived, weights, strict=True)
        ]
        return self.random.choices(list(self.survived), single)[0]

    def _logits(self, states: Tensor) -> Tensor:
        logits: Tensor = self.network.lm_head(states)
        return torch.cat((logits[:, :-1], logits[:, -1:] + math.log(self.rows.others)), 1)

    def _rate(self) -> float:
        """Warm-up, level until 30% of the work, then a cosine down to 3%."""
        warm = min(1.0, (self.steps + 1) / 80)
        late = max(0.0, (self.progress - 0.3) / 0.7)
        return self.plan.rate * warm * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * late)))

    def _batches(self) -> Iterator[Batch]:
        while True:
            yield from batches(self.random, self.rows, stage(max(self.plan.start, self.progress)))

    # -- a whole run ------------------------------------------------------------------------

    def run(self, state: Path, tell: Callable[[str], None], *, every: int = 25, save_every: int = 50) -> None:
        """Train to the end, or until SIGTERM, telling a line now and then and keeping the state on disk."""
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stopping", True))
        began, tokens = time.monotonic(), self.tokens
        while self.progress < 1 and not self.stopping:
            self.step()
            if self.steps % every == 0:
                speed = (self.tokens - tokens) / (time.monotonic() - began)
                tell(self._line(speed))
            if self.steps % save_every == 0:
                self.save(state)
        self.save(state)

    def _line(self, speed: float) -> str:
        left = (self.plan.tokens - self.tokens) / max(speed, 1e-9)
        means = " ".join(f"{name} {value:.3f}" for name, value in self.figures.values.items())
        line = (
            f"{self.progress:6.1%} step {self.steps} {speed:.0f} tokens/s, {left / 60:.0f} min left | {means}"
        )
        if self.progress >= self.plan.hinge_from:
            line += " | survived: " + ", ".join(f"{n} {s:.2f}" for n, s in self.survived.items() if s > 0.02)
        return line

    # -- state on disk ------------------------------------------------------------------------

    def save(self, file: Path) -> None:
        """Keep the run, in one atomic step; it goes on with fresh batches, as one that is resumed does."""
        self._stream = self._batches()
        part = file.with_suffix(".part")
        torch.save(
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "used": self.rows.used,
                "steps": self.steps,
                "tokens": self.tokens,
                "survived": self.survived,
                "random": self.random.getstate(),
                "torch": torch.get_rng_state(),
            },
            part,
        )
        part.replace(file)

    def resume(self, file: Path) -> None:
        """Go on where a run was saved, with the vocabulary it was saved with (:func:`saved_ids`)."""
        saved: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=False)
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.steps, self.tokens = saved["steps"], saved["tokens"]
        self.survived.update({name: value for name, value in saved["survived"].items() if name in HINGES})
        self.random.setstate(saved["random"])
        torch.set_rng_state(saved["torch"])


def saved_ids(file: Path) -> tuple[int, ...]:
    """The vocabulary of a saved run. Exits where the domain has since got ids that it lacks."""
    used = tuple(torch.load(file, map_location="cpu", weights_only=False)["used"])
    if missing := certain_ids() - set(used):
        raise SystemExit(f"{file} was trained without {len(missing)} ids that the domain has now: start anew")
    return used


def _groups(network: Network) -> list[dict[str, Any]]:
    """Weight decay for matrices, none for the rest and the embedding."""
    decayed: list[Tensor] = []
    plain: list[Tensor] = []
    for name, parameter in network.named_parameters():
        (decayed if parameter.ndim >= 2 and "embed" not in name else plain).append(parameter)
    return [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
