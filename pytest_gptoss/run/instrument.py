"""The instrument's own error on this machine: calibrated once for a run's load levels, kept in its store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pytest_gptoss.judge.instrument import Clock, error_at, why_too_coarse
from pytest_gptoss.model.errors import DamagedFile, GptossError
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.results import InstrumentError
from pytest_gptoss.model.verdicts import Threshold
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Load, Scenario

if TYPE_CHECKING:
    from pytest_gptoss.scenarios.calibration import Calibrated

__all__ = ["ensure_calibrated", "instrument_errors", "instrument_problems", "why_in_doubt"]

DOCUMENT = "instrument"
"""Concurrency -> ``error`` and ``problem``, one of them null."""


@dataclass(frozen=True)
class _Level:
    error: InstrumentError | None
    problem: str | None


def ensure_calibrated(store: Store, shapes: Iterable[LoadShape], *, tell: Callable[[str], None]) -> None:
    """Calibrate the levels that were not yet, and keep each as it ends: its error, or what went wrong.

    What went wrong is judged by who needs that level. The caller holds the store's lock.
    """
    known = _known(store)
    missing = [shape for shape in shapes if str(shape.concurrency) not in known]
    if not missing:
        return
    from pytest_gptoss.scenarios.calibration import Calibrated, calibrate

    try:
        calibrate(missing, tell=lambda text: tell(f"gptoss: {text}"), take=lambda found: _keep(store, found))
    except GptossError as error:  # the server did not start
        for shape in missing:
            _keep(store, Calibrated(shape.concurrency, problem=str(error)))


def instrument_errors(store: Store) -> tuple[InstrumentError, ...]:
    """The calibrated errors, the lowest level first; empty where nothing was calibrated."""
    errors = [level.error for level in _known(store).values() if level.error is not None]
    return tuple(sorted(errors, key=lambda error: error.concurrency))


def instrument_problems(store: Store) -> Mapping[int, str]:
    """Concurrency -> why the instrument could not be calibrated there, the lowest first."""
    known = _known(store)
    problems = {int(level): each.problem for level, each in known.items() if each.problem}
    return dict(sorted(problems.items()))


def why_in_doubt(store: Store, threshold: Threshold, clock: Clock, needs: Iterable[Scenario]) -> str | None:
    """Why the instrument cannot tell whether a latency keeps its limit, in a line; None when it can.

    ``needs`` are what the latency is measured by: its first calibrated load level tells. Raises DamagedFile.
    """
    errors, problems = instrument_errors(store), instrument_problems(store)
    for each in needs:
        if not isinstance(each, Load):
            continue
        if each.concurrency in problems:
            return (
                f"the instrument could not be calibrated at concurrency {each.concurrency} "
                f"({problems[each.concurrency]}): --gptoss-no-calibration judges without"
            )
        error = error_at(errors, each.concurrency)
        if error is not None:
            return why_too_coarse(threshold, clock, error)
    return "the instrument was not calibrated at this level: measure again in a new run"


def _known(store: Store) -> Mapping[str, _Level]:
    """What was calibrated, by concurrency; raises DamagedFile."""
    known: Mapping[str, _Level] = store.load_document(DOCUMENT, Mapping[str, _Level]) or {}
    for level in known:
        if not (level.isascii() and level.isdigit() and len(level) < 10):
            raise DamagedFile(f"run/{DOCUMENT}.json: {level[:40]!r} is no concurrency: measure again")
    return known


def _keep(store: Store, found: Calibrated) -> None:
    level = _Level(found.error, found.problem)
    levels = {**_known(store), str(found.concurrency): level}
    store.save_document(DOCUMENT, {name: asdict(each) for name, each in levels.items()})
