"""Hidden states in a file: for users whose card holds one server at a time.

An ``.npz`` with ``states`` float32 [total tokens, width], ``lengths`` and ``token_ids`` (all
sequences end to end), and ``facts`` (JSON text: sequence ids, corpus hash, model, server version).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pytest_gptoss.errors import MeasurementError
from pytest_gptoss.finite import strict_json
from pytest_gptoss.measure.identity import provenance_of
from pytest_gptoss.records import HiddenStates, Json, Measurement, ServerIdentity

__all__ = ["read_hidden", "write_hidden"]


def write_hidden(path: Path, items: Sequence[HiddenStates], facts: Mapping[str, Json]) -> None:
    """Write hidden states of whole sequences; ``facts`` must hold ``corpus_sha256``."""
    document = {**facts, "sequence_ids": [item.sequence_id for item in items]}
    aside = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with aside.open("wb") as file:
        np.savez(
            file,
            states=np.concatenate([np.asarray(item.states, dtype=np.float32) for item in items]),
            lengths=np.array([len(item.token_ids) for item in items], dtype=np.int64),
            token_ids=np.concatenate([np.array(item.token_ids, dtype=np.int32) for item in items]),
            facts=np.array(strict_json(document)),
        )
    aside.replace(path)


def read_hidden(
    path: Path, *, scenario_id: str, device: str, corpus_sha256: str
) -> Measurement[HiddenStates]:
    """The file as a measurement.

    Raises MeasurementError when it is no such file, or was recorded from another corpus.
    """
    again = "record it again with: pytest-gptoss hidden --url URL --output FILE.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            states, lengths, ids = archive["states"], archive["lengths"], archive["token_ids"]
            facts = json.loads(str(archive["facts"]))
        sequence_ids = facts["sequence_ids"]
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise MeasurementError(f"{path.name}: not a file of hidden states ({error}); {again}") from error
    if facts.get("corpus_sha256") != corpus_sha256:
        raise MeasurementError(
            f"{path.name}: recorded from corpus {str(facts.get('corpus_sha256'))[:12]}, "
            f"this run uses {corpus_sha256[:12]}; {again}"
        )
    if states.ndim != 2 or len(states) != lengths.sum() or len(ids) != len(states):
        raise MeasurementError(f"{path.name}: {states.shape} states for {int(lengths.sum())} tokens; {again}")
    ends = np.cumsum(lengths)
    return Measurement(
        scenario_id=scenario_id,
        device=device,
        items=tuple(
            HiddenStates(
                name, tuple(int(token) for token in ids[end - length : end]), states[end - length : end]
            )
            for name, length, end in zip(sequence_ids, lengths, ends, strict=True)
        ),
        provenance={
            **{key: value for key, value in facts.items() if key != "sequence_ids"},
            **provenance_of(after=(_identity(facts),), place=path.name),
        },
    )


def _identity(facts: Mapping[str, Json]) -> ServerIdentity:
    """Of the server that the states were recorded from, as far as the file tells."""
    told = (facts.get(key) for key in ("model", "checkpoint", "server_version"))
    model, checkpoint, version = (each if isinstance(each, str) else None for each in told)
    return ServerIdentity(model=model, checkpoint=checkpoint, version=version)
