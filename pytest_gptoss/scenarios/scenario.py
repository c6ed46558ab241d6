"""What every scenario kind has: its record, how it is asked and sized, and what its items are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_gptoss.scenarios.scenario_id import fits, with_digest

if TYPE_CHECKING:
    from pytest_gptoss.client.http import VllmClient
    from pytest_gptoss.model.json_type import Json
    from pytest_gptoss.model.results import Measurement
    from pytest_gptoss.scenarios.effort import Effort
    from pytest_gptoss.scenarios.job import Alone, Job, JobAlone, JobTogether, Setup
    from pytest_gptoss.scenarios.workload import Workload

__all__ = ["Scenario"]


@dataclass(frozen=True, slots=True)
class Scenario(ABC):
    """One thing to measure on one device. Each kind is a frozen dataclass in a file of ``scenarios/kinds``.

    Judging imports the records, so a kind's file imports nothing that asks a server before it is called.
    """

    word: ClassVar[str]
    """First word of the ids of this kind: letters only."""
    item_classes: ClassVar[tuple[type[Any], ...]]
    """What the items of its measurements may be; how each is stored is in ``item_forms``."""
    runs_alone: ClassVar[bool] = False
    """Whether nothing else may be asked of any device meanwhile: it has ``job_alone``, not ``job``."""
    runs_together: ClassVar[bool] = False
    """Whether it is measured on all devices at the same time, while nothing else is asked of any: it has
    ``job_together``."""
    measured_while_probing: ClassVar[bool] = False
    """Whether probing a device stores it: such a kind has neither ``job`` nor ``job_alone``."""
    hidden_source: ClassVar[bool] = False
    """Whether ``--gptoss-hidden-ROLE`` says where it comes from: another server or a file."""

    device: str
    """The device that is asked."""

    @property
    def id(self) -> str:
        """Stable name, fit for a file: equal for equal records, and for those only.

        A digest of all fields ends it where the name alone does not tell them all.
        """
        spelled = f"{self.word}-{self.name}"
        exact = fits(spelled) and self.named(self.name) == self
        return spelled if exact else with_digest(spelled, self)

    @property
    @abstractmethod
    def name(self) -> str:
        """The id for people, without its first word: the device's name, then what else is told apart."""

    @classmethod
    def named(cls, name: str) -> Scenario | None:
        """The one record that is meant by a ``name``; None where none is. A kind without this has digests."""
        return None

    @property
    @abstractmethod
    def title(self) -> str:
        """What is going on, for a person who waits."""

    @abstractmethod
    def size(self, setup: Setup) -> int:
        """How many requests, or other steps of progress, the measurement takes."""

    @abstractmethod
    def context_needed(self, workload: Workload) -> int:
        """Tokens of the longest prompt and its answer together, 0 where any context will do.

        Counts only what is known before anything is sent: prompts count ``fewest_tokens``, so that no context
        is called too short that is not.
        """

    @abstractmethod
    def effort(self, workload: Workload) -> Effort:
        """What it asks of the device, for the estimate of the time that it takes."""

    def job(self, setup: Setup, client: VllmClient) -> Job:
        """The requests to send."""
        raise NotImplementedError(f"{type(self).__name__} has no job of single requests")

    def job_alone(self, setup: Setup, alone: Alone) -> JobAlone:
        """How to measure a kind that ``runs_alone``."""
        raise NotImplementedError(f"{type(self).__name__} does not run alone")

    def job_together(self, setup: Setup, alone: Alone) -> JobTogether:
        """How to measure the device's part of a kind that ``runs_together``."""
        raise NotImplementedError(f"{type(self).__name__} does not run together with other devices")

    @property
    def depends_on(self) -> tuple[Scenario, ...]:
        """Scenarios that must be stored first, since this one sends their results again."""
        return ()

    def unknown_input(self, workload: Workload) -> str | None:
        """Name the input that the workload lacks, and those that there are; None when it has all."""
        return None

    def follows(
        self, stored: Mapping[str, Measurement[Any]], workload: Workload, *, may_ask: bool
    ) -> Measurement[Any] | None:
        """The measurement, where ``stored`` ones that it depends on (by id) tell it without a request.

        None where they do not, or where they tell a part and ``may_ask`` says that the rest can be asked for.
        """
        return None

    def provenance(self, workload: Workload) -> Mapping[str, Json]:
        """What its measurements keep of the workload, beside the facts that all keep."""
        return {}
