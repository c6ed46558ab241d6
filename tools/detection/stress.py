"""Faults of serving that show under stress alone: in batches, from the cache, behind chunk edges, recomputed.

Each is invisible to a device that is asked one request at a time, so its row runs those families as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType

from detection.row import FAIL, FAMILIES, Row
from detection.servers import reference
from pytest_gptoss.reference.defects import DEFECTS

__all__ = ["NAMED", "UNDER_STRESS", "stress_rows"]

UNDER_STRESS = f"{FAMILIES} or stress"
SMALL_CACHE = ("--kv-cache-tokens", "8192")
"""A KV cache that 16 requests of 640 tokens overflow."""

NAMED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "batch-crosstalk": ("stress.audit", "audit.c16"),
        "stale-cache": ("stress.prefix_cache", "prefix_cache"),
        "chunk-edge": ("stress.chunked_prefill", "chunked_prefill"),
        "recompute-shift": ("stress.preemption", "preemption"),
        "abort-leak": ("stress.abort_storm", "abort_storm"),
    }
)
"""By defect: the named check, and pytest's ``-k`` of the fast choice."""


def stress_rows() -> Iterator[Row]:
    """A row for each defect of serving, and the sound server's."""
    for name, (check, quick) in NAMED.items():
        yield Row(
            name, "stress", DEFECTS[name].explanation, partial(reference, *SMALL_CACHE, defect=name),
            {check: FAIL}, families=UNDER_STRESS, quick=quick,
        )  # fmt: skip
    yield Row("sound-stress", "controls", "a small KV cache under stress", partial(reference, *SMALL_CACHE),
              families="stress")  # fmt: skip
