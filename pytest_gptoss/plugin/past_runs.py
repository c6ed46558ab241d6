"""What a run's ledger knows of a row's earlier figures, for rows of trends."""

from __future__ import annotations

from pytest_gptoss.judge.trend import Past, of_replay, without_ledger
from pytest_gptoss.model.finite import finite
from pytest_gptoss.plugin.report_parts import facts_of_run
from pytest_gptoss.run.engine import AcceptanceRun

__all__ = ["past_runs"]


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
    wanted = (who, run.plan.profile.name, asked)
    return [
        Past(point.value, point.run_verdict == ACCEPTED, point.confirmed)
        for series in histories(target, row=row, device=who)
        if (series.device, series.profile, series.workload) == wanted
        for point in series.points
    ]
