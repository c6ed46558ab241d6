"""Recording hidden states from one pooling server, for a comparison made later without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_gptoss.client.event_loop import run_async
from pytest_gptoss.client.http import Timeouts, VllmClient
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.errors import MeasurementError
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.results import HiddenStates
from pytest_gptoss.model.subjects import Role, ServerIdentity
from pytest_gptoss.scenarios.corpus import load_shipped
from pytest_gptoss.scenarios.devices import Access
from pytest_gptoss.scenarios.hidden_file import write_hidden
from pytest_gptoss.scenarios.identity import read_identity

__all__ = ["record_hidden"]


def record_hidden(
    *,
    url: str,
    output: Path,
    role: Role,
    model: str | None,
    profile: str,
    timeouts: Timeouts,
    ca_bundle: Path | None,
    tell: Callable[[str], None],
) -> int:
    """Ask ``url`` for the hidden states of a profile's fixed sequences and write them to ``output``.

    Returns how many sequences were recorded. Raises MeasurementError at the first that fails: half a
    corpus is no measurement.
    """
    corpus = load_shipped(load_profile(profile).workload.corpus)
    access = Access(timeouts=timeouts, ca_bundle=ca_bundle, trust_env=False)

    async def ask_all() -> tuple[list[HiddenStates], ServerIdentity]:
        async with access.client(role, url, model) as client:
            identity = await read_identity(client)
            return await _ask(client, corpus.sequences, tell), identity

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


async def _ask(
    client: VllmClient, sequences: tuple[TokenSequence, ...], tell: Callable[[str], None]
) -> list[HiddenStates]:
    items = []
    for number, sequence in enumerate(sequences, 1):
        items.append(await client.hidden(sequence.token_ids, sequence.id))
        if number % 10 == 0:
            tell(f"gptoss: {number}/{len(sequences)} sequences")
    return items
