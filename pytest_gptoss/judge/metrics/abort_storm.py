"""Whether answers stay right while other requests are aborted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pytest_gptoss.judge.comparison import scores_of_answers
from pytest_gptoss.judge.confirmation import confirmed, refuse_few
from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.judge.metric import metric
from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement, ScoredSequence, StressAnswer
from pytest_gptoss.model.verdicts import Estimate
from pytest_gptoss.scenarios.kinds import AbortStorm, Scenario
from pytest_gptoss.scenarios.kinds.storm import BEFORE, CANARY, STREAM, STREAMS

__all__ = ["abort_storm"]


def _storm(roles: Roles) -> Mapping[str, Scenario]:
    quiet = scores_of_answers(roles.subject, roles, scored_by=roles.subject)
    return {"storm": AbortStorm(roles.subject), "quiet": quiet}


@metric("abort_storm", needs=_storm, statistics=("rate",))
def abort_storm(*, storm: Measurement[StressAnswer], quiet: Measurement[ScoredSequence]) -> Estimate:
    """Share of the canaries' answers in the storm that the device, asked alone, confirms: ``confirmation``.

    Raises InsufficientData where fewer than half of the streams were left before they ended, or fewer than
    half of the answers scored. Details: as
    ``confirmed``, and ``aborted`` streams, ``before``: the same share of the answers before the storm.
    """
    sound_items(storm, "answers")
    aborted = STREAMS - sum(name.startswith(f"{STREAM}-") for name in storm.left_out)
    if 2 * aborted < STREAMS:
        raise InsufficientData(
            say(
                "{device}: {aborted} of {streams} streams were left before they ended, fewer than half: does "
                "a proxy hold back what the server streams?",
                device=storm.device,
                aborted=aborted,
                streams=STREAMS,
            )
        )
    unscored = {name: why for name, why in storm.left_out.items() if not name.startswith(f"{STREAM}-")}
    refuse_few(storm, unscored)
    found = confirmed(storm, quiet, kind=CANARY)
    before = confirmed(storm, quiet, kind=BEFORE)
    return dataclasses.replace(found, details={**found.details, "aborted": aborted, "before": before.value})
