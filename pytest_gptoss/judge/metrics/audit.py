"""Whether a device's answers under load are those that it gives when asked alone."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.judge.comparison import scores_of_answers
from pytest_gptoss.judge.confirmation import confirmed, refuse_few
from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.metric import metric_family
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.load_names import read_level
from pytest_gptoss.model.results import LoadLevel, Measurement, ScoredSequence, StressAnswer
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Audit, Scenario

__all__ = ["audit"]


def _of_level(roles: Roles, level: str) -> Mapping[str, Scenario]:
    audited = Audit(roles.subject, level, roles.audit)
    return {
        "load": audited.load,
        "audited": audited,
        "quiet": scores_of_answers(roles.subject, roles, scored_by=roles.subject),
    }


@metric_family("audit", of=read_level, needs=_of_level, statistics=("rate",))
def audit(
    *,
    load: Measurement[LoadLevel],
    audited: Measurement[StressAnswer],
    quiet: Measurement[ScoredSequence],
) -> Estimate:
    """Share of the level's drawn answers that the device confirms when asked alone: ``confirmation``.

    Raises InsufficientData where fewer than half of the draw could be scored. An answer that says too little
    is no part of the draw where another was drawn for it.
    """
    sound_items(load, "levels")
    refuse_few(audited, audited.left_out)
    scenario = Audit.named(audited.scenario_id.partition("-")[2])
    return confirmed(audited, quiet, drawn=None if scenario is None else scenario.limit)
