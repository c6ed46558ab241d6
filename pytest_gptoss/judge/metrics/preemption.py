"""Whether a device's answers are right where its KV cache overflows and sequences are computed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pytest_gptoss.judge.comparison import scores_of_answers
from pytest_gptoss.judge.confirmation import confirmed, refuse_few
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import ConditionAbsent
from pytest_gptoss.model.results import Measurement, ScoredSequence, StressAnswer
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import Preemption, Scenario
from pytest_gptoss.scenarios.kinds.preemption import AUDITED

__all__ = ["preemption"]


def _both(roles: Roles) -> Mapping[str, Scenario]:
    return {
        "stressed": Preemption(roles.subject),
        "quiet": scores_of_answers(roles.subject, roles, scored_by=roles.subject),
    }


@metric("preemption", needs=_both, statistics=("rate",))
def preemption(*, stressed: Measurement[StressAnswer], quiet: Measurement[ScoredSequence]) -> Estimate:
    """Share of a load's answers that the device confirms when asked alone: ``confirmation``.

    Details: ``preemptions``, the server's count over that load. Raises ConditionAbsent where it never
    preempted or cannot be seen to, and InsufficientData where fewer than half of the answers were scored.
    """
    if not stressed.items and not stressed.failures and "load" in stressed.left_out:
        raise ConditionAbsent(stressed.left_out["load"])
    refuse_few(stressed, stressed.left_out)
    estimate = confirmed(stressed, quiet, drawn=AUDITED)
    counted = (stressed.items[0].server or {}).get("preemptions")
    return replace(estimate, details={**estimate.details, "preemptions": counted})
