"""The client under load: requests kept in flight, and a stamp on every read of their answers."""

from pytest_gptoss.client.load.closed_loop import run_closed_loop
from pytest_gptoss.client.load.dispatch import run_load
from pytest_gptoss.client.load.job import Drive, LoadJob, LoadTarget
from pytest_gptoss.client.load.requests import LoadRequest, LoadRun
from pytest_gptoss.client.load.round_trip import round_trip_ms

__all__ = [
    "Drive",
    "LoadJob",
    "LoadRequest",
    "LoadRun",
    "LoadTarget",
    "round_trip_ms",
    "run_closed_loop",
    "run_load",
]
