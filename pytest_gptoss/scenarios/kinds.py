"""What can be measured, by kind; each scenario is data and has an id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_gptoss.model.load_names import level_name

__all__ = [
    "CORPUS",
    "Drift",
    "Feature",
    "FeatureName",
    "Forced",
    "Greedy",
    "Hidden",
    "Load",
    "Needle",
    "Preflight",
    "Rendered",
    "Scenario",
]

CORPUS = "corpus"
"""What stands in a device's place where the fixed texts are scored: no device may be called so."""

FeatureName: TypeAlias = Literal[
    "whole", "cut", "effort-low", "effort-high",
    "tools-auto", "tools-required", "tools-named", "tags", "abort", "bad-requests",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Greedy:
    """Greedy outputs of a prompt set: temperature 0, top_p 1.

    ``concurrency`` 1 is one request at a time; ``repeat`` numbers runs of the same thing;
    ``limit`` keeps the first prompts only. ``prompt_ids_of`` names the device whose rendered
    prompt ids are sent as they are (``--gptoss-inputs token-ids``); None sends chat messages.
    """

    device: str
    prompts: str = "precision"
    concurrency: int = 1
    repeat: int = 0
    limit: int | None = None
    prompt_ids_of: str | None = None

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        head = "" if self.limit is None else f"-first{self.limit}"
        ids = "" if self.prompt_ids_of is None else f"-ids-of-{self.prompt_ids_of}"
        return f"greedy-{self.device}-{self.prompts}{head}{ids}-c{self.concurrency}-r{self.repeat}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        how = f" {self.concurrency} at once" if self.concurrency > 1 else " again" if self.repeat else ""
        return f"{self.device} answers{how}"


@dataclass(frozen=True, slots=True)
class Rendered:
    """The prompt ids a device renders from a prompt set: one token is generated and ignored.

    ``answers`` is the scenario whose answers tell the ids already: then only prompts that it left without an
    answer are asked for. None: every prompt is asked for, as chat.
    """

    device: str
    prompts: str = "precision"
    answers: Greedy | None = None

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        if self.answers is not None:
            return f"rendered-{self.device}-for-{self.answers.id}"
        return f"rendered-{self.device}-{self.prompts}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} renders prompts"


@dataclass(frozen=True, slots=True)
class Forced:
    """Teacher-forced scores: log-probabilities of given tokens under the device's model.

    ``source`` "corpus" scores the fixed token sequences; a device name scores the greedy
    outputs of that device, each behind its own prompt, the answer's positions only; ``outputs``
    is then the scenario that generates them (None: the device's plain Greedy).
    """

    device: str
    source: str = CORPUS
    limit: int | None = None
    outputs: Greedy | None = None

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        head = "" if self.limit is None else f"-first{self.limit}"
        return f"forced-{self.device}-of-{self.source}{head}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        what = "the corpus" if self.outputs is None else f"answers of {self.source}"
        return f"{self.device} scores {what}"


@dataclass(frozen=True, slots=True)
class Hidden:
    """Last-layer hidden states (after the final norm) of the fixed token sequences."""

    device: str

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        return f"hidden-{self.device}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} hidden states"


@dataclass(frozen=True, slots=True)
class Needle:
    """One cell of the long-context test: a needle at ``depth`` (0 to 1) of a prompt of ``length`` tokens.

    ``control``: the same haystack without the needle, and the same question.
    """

    device: str
    depth: float
    length: int
    control: bool = False

    @property
    def cell(self) -> str:
        """The cell's name in threshold ids: ``d025-32k``."""
        size = f"{self.length // 1024}k" if self.length % 1024 == 0 else str(self.length)
        return f"d{round(self.depth * 100):03d}-{size}"

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        return f"needle-{self.device}-{self.cell}{'-control' if self.control else ''}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} needle {self.cell}{' control' if self.control else ''}"


@dataclass(frozen=True, slots=True)
class Drift:
    """Log-probabilities of the true next token here and there in one long text.

    Asked for behind prefixes longer than ``above`` and no longer than ``length`` tokens, so that the
    scenarios of neighbouring lengths make up one sequence and nothing is measured twice.
    """

    device: str
    above: int
    length: int

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        return f"drift-{self.device}-{self.length}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} drift to {self.length} tokens"


@dataclass(frozen=True, slots=True)
class Load:
    """One load level: ``concurrency`` requests in flight until the level's requests are done (closed loop).

    ``trial`` numbers repetitions of all levels.
    """

    device: str
    concurrency: int
    trial: int = 0

    @property
    def level(self) -> str:
        """The level's name in threshold ids: ``c16``."""
        return level_name(self.concurrency)

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        return f"load-{self.device}-{self.level}-t{self.trial}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        again = f" again ({self.trial + 1})" if self.trial else ""
        return f"{self.device} under load, {self.concurrency} at once{again}"


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a server tells about itself before anything is measured; taken while devices are probed."""

    device: str

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        return f"preflight-{self.device}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} preflight"


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a server, tried out with a handful of requests; ``measure.features`` says which."""

    device: str
    feature: FeatureName

    @property
    def id(self) -> str:
        """Stable name, fit for a file."""
        return f"feature-{self.device}-{self.feature}"

    @property
    def title(self) -> str:
        """What is going on, for a person who waits."""
        return f"{self.device} {self.feature.replace('-', ' ')}"


Scenario: TypeAlias = Greedy | Rendered | Forced | Hidden | Needle | Drift | Load | Preflight | Feature
