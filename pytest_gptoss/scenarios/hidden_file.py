"""Hidden states in a file: for users whose card holds one server at a time.

An ``.npz`` with ``states`` float32 [total tokens, width], ``lengths`` and ``token_ids`` (all
sequences end to end), and ``facts`` (JSON text: sequence ids, corpus hash, model, server version).
Recovered states stand at some positions only: ``facts`` then hold the ``fits`` of each sequence, one a state.
An ``.npz`` is a zip: what its members say of themselves is bounded and checked before they are read.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_gptoss.model.array_file import check_header
from pytest_gptoss.model.errors import MeasurementError
from pytest_gptoss.model.finite import strict_json
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import HiddenStates, Measurement, RecoveredStates, StateFit
from pytest_gptoss.model.stored_json import Mismatch, parse, typed
from pytest_gptoss.model.subjects import ServerIdentity
from pytest_gptoss.scenarios.identity import provenance_of
from pytest_gptoss.scenarios.item_forms import refuse_misfit

__all__ = ["States", "read_hidden", "write_hidden"]

Array: TypeAlias = npt.NDArray[Any]
States: TypeAlias = HiddenStates | RecoveredStates


def write_hidden(path: Path, items: Sequence[States], facts: Mapping[str, Json]) -> None:
    """Write hidden states of sequences, all of one class; ``facts`` must hold ``corpus_sha256``."""
    document = {**facts, "sequence_ids": [item.sequence_id for item in items], **_fits(items)}
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


def _fits(items: Sequence[States]) -> Mapping[str, Json]:
    """Of recovered states, how each was found; nothing of others."""
    found = [[asdict(fit) for fit in item.fits] for item in items if isinstance(item, RecoveredStates)]
    return {"fits": found} if found else {}


def read_hidden(path: Path, *, scenario_id: str, device: str, corpus_sha256: str) -> Measurement[States]:
    """The file as a measurement.

    Raises MeasurementError when it is no such file, or was recorded from another corpus.
    """
    again = say("record it again with: pytest-gptoss hidden --url URL --output FILE.npz")
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name: _array(archive, name) for name in _MEMBERS}
        facts = typed(Mapping[str, Json], parse(str(arrays["facts"])))
        names = typed(tuple[str, ...], facts.get("sequence_ids"))
        fits = typed(tuple[tuple[StateFit, ...], ...] | None, facts.get("fits"))
        items = _items(arrays, names, fits)
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise MeasurementError(
            say(
                "{name}: not a file of hidden states ({error}); {again}",
                name=path.name,
                error=error,
                again=again,
            )
        ) from None
    if facts.get("corpus_sha256") != corpus_sha256:
        raise MeasurementError(
            say(
                "{name}: recorded from corpus {theirs}, this run uses {ours}; {again}",
                name=path.name,
                theirs=str(facts.get("corpus_sha256"))[:12],
                ours=corpus_sha256[:12],
                again=again,
            )
        )
    return Measurement(
        scenario_id=scenario_id,
        device=device,
        items=items,
        provenance={
            **{key: value for key, value in facts.items() if key not in ("sequence_ids", "fits")},
            **provenance_of(after=(_identity(facts),), place=path.name),
        },
    )


def _identity(facts: Mapping[str, Json]) -> ServerIdentity:
    """Of the server that the states were recorded from, as far as the file tells."""
    told = (facts.get(key) for key in ("model", "checkpoint", "server_version"))
    model, checkpoint, version = (each if isinstance(each, str) else None for each in told)
    return ServerIdentity(model=model, checkpoint=checkpoint, version=version)


_MEMBERS: Mapping[str, tuple[str, int]] = {
    "states": ("f", 2), "lengths": ("iu", 1), "token_ids": ("iu", 1), "facts": ("U", 0),
}  # fmt: skip
"""What the file holds: by name, the kinds of elements, as numpy calls them, and the dimensions."""
LARGEST = 2**30
"""Most bytes of one member: the shipped corpus has 160 MB of states."""


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    """A member, read after its size and header were found sound; raises Mismatch."""
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > LARGEST:
        raise Mismatch(f"{name}.npy: {member.file_size} bytes unpacked, at most {LARGEST} are read")
    try:
        with archive.open(member) as file:
            check_header(file, member.file_size)
    except Mismatch as error:
        raise Mismatch(f"{name}.npy: {error}") from None
    with archive.open(member) as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    kinds, dimensions = _MEMBERS[name]
    if array.dtype.kind not in kinds or array.ndim != dimensions:
        raise Mismatch(f"{name}.npy: an array of {array.dtype} {list(array.shape)}")
    return array


Fits: TypeAlias = tuple[tuple[StateFit, ...], ...]


def _items(arrays: Mapping[str, Array], names: Sequence[str], fits: Fits | None) -> tuple[States, ...]:
    states, ids = arrays["states"], arrays["token_ids"]
    lengths = _lengths(arrays["lengths"], names)
    if fits is not None and len(fits) != len(names):
        raise Mismatch(f"{len(names)} sequence ids for fits of {len(fits)}")
    rows = lengths if fits is None else [len(each) for each in fits]
    if sum(lengths) != len(ids) or sum(rows) != len(states):
        raise Mismatch(f"{states.shape} states and {len(ids)} token ids for {sum(lengths)} tokens")
    tokens, blocks = np.split(ids, np.cumsum(lengths)), np.split(states, np.cumsum(rows))
    items: list[States] = []
    for number, name in enumerate(names):
        own = tuple(tokens[number].tolist())
        if fits is None:
            items.append(HiddenStates(name, own, blocks[number]))
        else:
            items.append(RecoveredStates(name, own, blocks[number], fits[number]))
            refuse_misfit(items[-1])
    return tuple(items)


def _lengths(array: Array, names: Sequence[str]) -> list[int]:
    lengths: list[int] = array.tolist()
    if len(names) != len(lengths):
        raise Mismatch(f"{len(names)} sequence ids for {len(lengths)} lengths")
    if min(lengths, default=0) < 0:
        raise Mismatch(f"a length of {min(lengths)}")
    return lengths
