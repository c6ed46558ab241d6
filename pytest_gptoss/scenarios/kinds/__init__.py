"""What can be measured, a kind a file: its record, id, title, size, context need, requests, stored form."""

from pytest_gptoss.scenarios.kinds.audit import Audit
from pytest_gptoss.scenarios.kinds.canaries import Canaries
from pytest_gptoss.scenarios.kinds.canaryanswers import CanaryAnswers
from pytest_gptoss.scenarios.kinds.capacity import Capacity
from pytest_gptoss.scenarios.kinds.chunked import Chunked
from pytest_gptoss.scenarios.kinds.drift import Drift
from pytest_gptoss.scenarios.kinds.feature import Feature, FeatureName
from pytest_gptoss.scenarios.kinds.forced import CORPUS, Forced
from pytest_gptoss.scenarios.kinds.greedy import Greedy
from pytest_gptoss.scenarios.kinds.hidden import Hidden
from pytest_gptoss.scenarios.kinds.load import Load
from pytest_gptoss.scenarios.kinds.needle import Needle
from pytest_gptoss.scenarios.kinds.passages import Passages
from pytest_gptoss.scenarios.kinds.preemption import Preemption
from pytest_gptoss.scenarios.kinds.prefix import CachedPrefix
from pytest_gptoss.scenarios.kinds.preflight import Preflight
from pytest_gptoss.scenarios.kinds.rendered import Rendered
from pytest_gptoss.scenarios.kinds.storm import AbortStorm
from pytest_gptoss.scenarios.scenario import Scenario

__all__ = [
    "CORPUS",
    "AbortStorm",
    "Audit",
    "CachedPrefix",
    "Canaries",
    "CanaryAnswers",
    "Capacity",
    "Chunked",
    "Drift",
    "Feature",
    "FeatureName",
    "Forced",
    "Greedy",
    "Hidden",
    "Load",
    "Needle",
    "Passages",
    "Preemption",
    "Preflight",
    "Rendered",
    "Scenario",
]
