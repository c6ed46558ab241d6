"""Open levels made by hand: requests that were to be sent at some time, and queues that serve them."""

import numpy as np
from made_load import MS, PROMPT, level, request

from pytest_gptoss.model.arrivals import Arrivals, Slo
from pytest_gptoss.model.inputs import LoadShape

OPEN = LoadShape(4, 10, PROMPT, 3, arrivals=Arrivals(8.0))


def arriving(name, due, *token_ms, late=0, **fields):
    """A request that was to be sent at ``due`` ms and was sent ``late`` ms after that."""
    return request(name, due + late, *token_ms, intended_ns=round(due * MS), **fields)


def open_level(*requests, asked=None, slo=None, rate=8.0, **fields):
    """An open level of these requests; ``slo`` is its service level."""
    shape = {"arrivals": Arrivals(rate), "slo": slo, **fields.pop("shape", {})}
    return level(*requests, asked=asked, concurrency=4, shape=shape, **fields)


def spaced(*waits, gap=100.0, late=0.0, step=10.0, slo=None):
    """An open level whose requests come every ``gap`` ms and wait so many ms for their first of 3 tokens."""
    requests = []
    for i, wait in enumerate(waits):
        first = i * gap + wait
        stamps = [first + step * token for token in range(3)]
        requests.append(arriving(f"r{i}", i * gap, *stamps, late=late, text=first))
    return open_level(*requests, slo=slo)


def ends_of(arrivals, services):
    """When a single server ends each request that it takes in order; both [levels, n], as is the result.

    D. V. Lindley's recursion, with the maximum taken over all busy periods' beginnings at once.
    """
    total = np.cumsum(services, axis=1)
    return total + np.maximum.accumulate(arrivals - (total - services), axis=1)


def correlated(n, rho, seed):
    """A series of the autoregressive process of first order, stationary from the beginning."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, np.sqrt(1 - rho * rho), n)
    series = np.empty(n)
    series[0] = random.normal()
    for i in range(1, n):
        series[i] = rho * series[i - 1] + noise[i]
    return series


SLO = Slo(ttft_ms=100.0, tpot_ms=20.0)
