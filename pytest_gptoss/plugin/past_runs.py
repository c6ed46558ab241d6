"""What a run's ledger knows of its rows' earlier figures: for rows of trends, and for the report."""

from __future__ import annotations

from pytest_gptoss.config.settings import Settings
from pytest_gptoss.judge.trend import Past, of_replay, without_ledger
from pytest_gptoss.model.errors import LedgerError
from pytest_gptoss.model.finite import finite
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.plugin.report_parts import facts_of_run
from pytest_gptoss.run.engine import AcceptanceRun

__all__ = ["add_histories", "past_runs"]


def past_runs(run: AcceptanceRun, npu: str, row: str) -> list[Past]:
    """Earlier runs' figures of a row on the same device, profile and workload, the oldest first.

    Raises ConditionAbsent without a ledger and in a replay, LedgerError where the ledger cannot be read.
    """
    target = run.settings.ledger
    if target is None:
        raise without_ledger()
    if run.settings.replay is not None:
        raise of_replay()
    # Imported here: few runs judge trends.
    from pytest_gptoss.ledger.entry import identity, workload_sha256
    from pytest_gptoss.ledger.finding import ACCEPTED
    from pytest_gptoss.ledger.history import histories

    device = run.devices.answering()[npu]
    who = identity(device.name, device.label, device.server_version)
    asked = workload_sha256(finite(facts_of_run(run, started="", ended=None)))
    threshold = run.plan.thresholds[row]
    wanted = (who, run.plan.profile.name, asked, row, threshold.statistic, threshold.unit)
    return [
        Past(point.value, point.run_verdict == ACCEPTED, point.confirmed)
        for series in histories(target, row=row, device=who)
        if series.asked == wanted
        for point in series.points
    ]


def add_histories(document: dict[str, Json], settings: Settings) -> str:
    """Give the contract verdicts of a report document their figures of earlier runs, where a ledger has them.

    Returns why the ledger cannot be read, nothing where it can. A replay has no place among the runs, and
    an interrupted run's report does not wait for a ledger: both are left as they are.
    """
    if settings.ledger is None or settings.replay is not None or document["state"] != "finished":
        return ""
    # Imported here: few runs name a ledger.
    from pytest_gptoss.ledger.earlier import earlier_figures

    if settings.ledger.path is not None and not settings.ledger.path.exists():
        return ""  # the first run of a new ledger
    try:
        told = earlier_figures(settings.ledger, finite(document))
    except LedgerError as error:
        return str(error)
    for verdict in document["verdicts"]:
        key = (verdict["npu"], verdict["threshold_id"])
        if key in told:
            verdict["history"] = told[key]
    return ""
