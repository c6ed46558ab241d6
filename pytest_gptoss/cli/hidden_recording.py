"""Recording hidden states from one server, for a comparison made later without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.client.http import Timeouts, VllmClient
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.errors import MeasurementError
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.subjects import Role, ServerIdentity
from pytest_gptoss.scenarios.corpus import load_shipped
from pytest_gptoss.scenarios.devices import Access
from pytest_gptoss.scenarios.hidden_file import States, write_hidden
from pytest_gptoss.scenarios.identity import read_identity
from pytest_gptoss.scenarios.job import Ask, bind
from pytest_gptoss.scenarios.sequences import Sequences
from pytest_gptoss.scenarios.state_recovery import Recovery, recovery_job

__all__ = ["record_hidden"]


def record_hidden(
    *,
    url: str,
    output: Path,
    role: Role,
    model: str | None,
    profile: str,
    recovery: Recovery | None,
    timeouts: Timeouts,
    ca_bundle: Path | None,
    tell: Callable[[str], None],
) -> int:
    """Ask ``url`` for the hidden states of a profile's fixed sequences and write them to ``output``.

    ``recovery``: how they are recovered from log-probabilities; None: they come from ``/pooling``.
    Returns how many sequences were recorded. Raises MeasurementError at the first that fails: half a
    corpus is no measurement.
    """
    corpus = load_shipped(load_profile(profile).workload.corpus)
    access = Access(timeouts=timeouts, ca_bundle=ca_bundle, trust_env=False)

    async def ask_all() -> tuple[list[States], ServerIdentity]:
        async with access.client(role, url, model) as client:
            identity = await read_identity(client)
            asks = _asks(client, corpus.sequences, recovery)
            return await _ask(asks, tell), identity

    items, server = run_async(ask_all())
    facts = {
        "corpus_sha256": corpus.sha256,
        "corpus": corpus.name,
        "server_version": server.version,
        "model": server.model or model,
        "checkpoint": server.checkpoint,
    }
    try:
        write_hidden(output, items, facts)
    except OSError as error:
        raise MeasurementError(f"{output}: {error.strerror or error}; name another file") from error
    return len(items)


def _asks(
    client: VllmClient, sequences: tuple[TokenSequence, ...], recovery: Recovery | None
) -> tuple[Ask, ...]:
    if recovery is None:
        return tuple(bind(client.hidden, each.token_ids, each.id) for each in sequences)
    job = recovery_job(recovery, sequences, Sequences(sequences, {}), client)
    return tuple(ask for _, ask in job.asks)


async def _ask(asks: tuple[Ask, ...], tell: Callable[[str], None]) -> list[States]:
    items = []
    for number, ask in enumerate(asks, 1):
        items.append(await ask())
        if number % 10 == 0:
            tell(f"gptoss: {number}/{len(asks)} sequences")
    return items
