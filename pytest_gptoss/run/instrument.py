"""The instrument's own error on this machine: calibrated once for a run's load levels, kept in its store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from pytest_gptoss.judge.instrument import Clock, why_too_coarse
from pytest_gptoss.judge.late_client import why_late
from pytest_gptoss.model.errors import DamagedFile, GptossError
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.load_names import concurrency_of, level_name, level_order, read_level
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import InstrumentError
from pytest_gptoss.model.verdicts import Threshold
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Load, Scenario

if TYPE_CHECKING:
    from pytest_gptoss.client.load import Drive
    from pytest_gptoss.scenarios.calibration import Calibrated

__all__ = [
    "ensure_calibrated",
    "ensure_workers_calibrated",
    "instrument_errors",
    "instrument_problems",
    "why_client_was_late",
    "why_in_doubt",
    "worker_errors",
]

DOCUMENT = "instrument"
"""Level -> ``error`` and ``problem``, one of them null; ``c16`` is stored as 16."""


WORKERS = "instrument_workers"
"""Level -> what each worker of a Ray cluster found on its own node."""


@dataclass(frozen=True)
class _Worker:
    worker: str
    error: InstrumentError | None
    problem: str | None


@dataclass(frozen=True)
class _Level:
    error: InstrumentError | None
    problem: str | None


def ensure_calibrated(
    store: Store,
    levels: Mapping[str, LoadShape],
    *,
    tell: Callable[[str], None],
    drive: Drive | None = None,
) -> None:
    """Calibrate the levels that were not yet, and keep each as it ends: its error, or what went wrong.

    What went wrong is judged by who needs that level. ``drive`` puts the load, None: this process does. The
    caller holds the store's lock.
    """
    known = _known(store)
    missing = {name: shape for name, shape in levels.items() if name not in known}
    if not missing:
        return
    from pytest_gptoss.scenarios.calibration import Calibrated, calibrate

    try:
        calibrate(
            missing,
            tell=lambda text: tell(f"gptoss: {text}"),
            take=lambda found: _keep(store, found),
            drive=drive,
        )
    except GptossError as error:  # the server did not start
        for name in missing:
            _keep(store, Calibrated(name, problem=str(error)))


def ensure_workers_calibrated(
    store: Store,
    levels: Mapping[str, LoadShape],
    *,
    address: str,
    workers: int | None,
    tell: Callable[[str], None],
) -> None:
    """The same on the nodes of a Ray cluster: each worker with its share of the level, on its own node.

    A level's error is that of its worst worker; a worker that has none is the level's problem.
    """
    known = _known(store)
    missing = {name: shape for name, shape in levels.items() if name not in known}
    if not missing:
        return
    from pytest_gptoss.client.load.ray_workers import nodes, on_nodes
    from pytest_gptoss.scenarios.calibration import Calibrated, calibrate_here, worst_error

    for name, shape in missing.items():
        tell(f"gptoss: calibrating the instrument of each worker, {name}")
        count = max(1, min(workers or len(nodes()), shape.concurrency))
        shares = [(name, _share(shape, number, count)) for number in range(count)]
        told = [
            _Worker(worker, None, str(came)) if isinstance(came, GptossError)
            else _Worker(worker, came.error, came.problem)
            for worker, came in on_nodes(calibrate_here, shares, address=address)
        ]  # fmt: skip
        found = {**_workers(store), name: told}
        store.save_document(
            WORKERS, {level: [asdict(each) for each in workers] for level, workers in found.items()}
        )
        problem = next((each.problem for each in told if each.problem), None)
        errors = [each.error for each in told if each.error is not None]
        error = None if problem else worst_error(errors, concurrency=shape.concurrency)
        _keep(store, Calibrated(name, error, problem))


def worker_errors(store: Store) -> Mapping[str, Sequence[tuple[str, InstrumentError]]]:
    """Level -> each worker and its own instrument's error; empty without a cluster. Raises DamagedFile."""
    return {
        name: [(each.worker, each.error) for each in workers if each.error is not None]
        for name, workers in _workers(store).items()
    }


def _workers(store: Store) -> Mapping[str, Sequence[_Worker]]:
    stored: Mapping[str, tuple[_Worker, ...]] | None = store.load_document(
        WORKERS, Mapping[str, tuple[_Worker, ...]]
    )
    return stored or {}


def _share(shape: LoadShape, number: int, count: int) -> LoadShape:
    streams, requests = range(number, shape.concurrency, count), range(number, shape.requests, count)
    return replace(shape, concurrency=len(streams), requests=max(1, len(requests)))


def instrument_errors(store: Store) -> Mapping[str, InstrumentError]:
    """The calibrated errors by level, the lowest first; empty where nothing was calibrated."""
    return {name: level.error for name, level in _known(store).items() if level.error is not None}


def instrument_problems(store: Store) -> Mapping[str, str]:
    """Level -> why the instrument could not be calibrated there, the lowest first."""
    return {name: level.problem for name, level in _known(store).items() if level.problem}


def why_in_doubt(
    store: Store,
    levels: Mapping[str, LoadShape],
    threshold: Threshold,
    clock: Clock,
    needs: Iterable[Scenario],
) -> str | None:
    """Why the instrument cannot tell whether a latency keeps its limit, in a line; None when it can.

    ``levels`` are the run's, ``needs`` what the latency is measured by: its first calibrated level tells.
    Raises DamagedFile.
    """
    errors, problems = instrument_errors(store), instrument_problems(store)
    for each in needs:
        if not isinstance(each, Load):
            continue
        if each.level in problems:
            concurrency = levels[each.level].concurrency
            return say(
                "the instrument could not be calibrated at concurrency {concurrency} "
                "({problem}): --gptoss-no-calibration judges without",
                concurrency=concurrency,
                problem=problems[each.level],
            )
        error = errors.get(each.level)
        if error is not None:
            return why_too_coarse(threshold, clock, error)
    return say("the instrument was not calibrated at this level: measure again in a new run")


def why_client_was_late(store: Store, threshold: Threshold, needs: Iterable[Scenario]) -> str | None:
    """Why an open level's client may be what is slow in a figure, in a line; None when it is not.

    ``needs``: what the figure is measured by. No calibration is needed: the level itself tells.
    """
    found = [store.load(each.id) for each in needs if isinstance(each, Load)]
    levels = [item for each in found if each is not None for item in each.items]
    return why_late(threshold, levels) if levels else None


def _known(store: Store) -> Mapping[str, _Level]:
    """What was calibrated, by level, the lowest first; raises DamagedFile."""
    stored: Mapping[str, _Level] = store.load_document(DOCUMENT, Mapping[str, _Level]) or {}
    known = {_level_of(key): level for key, level in stored.items()}
    return {name: known[name] for name in sorted(known, key=level_order)}


def _keep(store: Store, found: Calibrated) -> None:
    levels = {**_known(store), found.level: _Level(found.error, found.problem)}
    store.save_document(DOCUMENT, {_key(name): asdict(each) for name, each in levels.items()})


def _key(level: str) -> str:
    return str(concurrency_of(level) or level)


def _level_of(key: str) -> str:
    plain = key.isascii() and key.isdigit() and len(key) < 10
    level = read_level(level_name(int(key)) if plain else key)
    if level is None:
        raise DamagedFile(
            say(
                "run/{document}.json: {key} is no load level: measure again",
                document=DOCUMENT,
                key=repr(key[:40]),
            )
        )
    return level
