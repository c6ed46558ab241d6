"""Hidden states in a file: for users whose card holds one server at a time.

An ``.npz`` with ``states`` float32 [total tokens, width], ``lengths`` and ``token_ids`` (all
sequences end to end), and ``facts`` (JSON text: sequence ids, corpus hash, model, server version).
Recovered states stand at some positions only: such a file has as many ``states`` as ``positions``,
``rows`` says how many of them each sequence has, and what the recovery tells of each stands beside.
An ``.npz`` is a zip: what its members say of themselves is bounded and checked before they are read.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pytest_gptoss.model.array_file import check_header
from pytest_gptoss.model.errors import MeasurementError
from pytest_gptoss.model.finite import strict_json
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import HiddenStates, Measurement, RecoveredStates
from pytest_gptoss.model.stored_json import Mismatch, parse, typed
from pytest_gptoss.model.subjects import ServerIdentity
from pytest_gptoss.scenarios.identity import provenance_of
from pytest_gptoss.scenarios.item_forms import refuse_misfit

__all__ = ["States", "read_hidden", "write_hidden"]

Array: TypeAlias = npt.NDArray[Any]
States: TypeAlias = HiddenStates | RecoveredStates


def write_hidden(path: Path, items: Sequence[States], facts: Mapping[str, Json]) -> None:
    """Write hidden states of sequences, all of one class; ``facts`` must hold ``corpus_sha256``."""
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
            **_beside(items),  # type: ignore[arg-type]  # numpy 2 has a keyword beside the arrays
        )
    aside.replace(path)


def _beside(items: Sequence[States]) -> Mapping[str, Array]:
    """What a file of recovered states has beside them."""
    recovered = [item for item in items if isinstance(item, RecoveredStates)]
    if not recovered:
        return {}
    found = {name: np.concatenate([getattr(each, name) for each in recovered]) for name in _RECOVERED}
    return {**found, "rows": np.array([len(each.positions) for each in recovered], dtype=np.int64)}


def read_hidden(path: Path, *, scenario_id: str, device: str, corpus_sha256: str) -> Measurement[States]:
    """The file as a measurement.

    Raises MeasurementError when it is no such file, or was recorded from another corpus.
    """
    again = say("record it again with: pytest-gptoss hidden --url URL --output FILE.npz")
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name: _array(archive, name) for name in _members(archive)}
        facts = typed(Mapping[str, Json], parse(str(arrays["facts"])))
        names = typed(tuple[str, ...], facts.get("sequence_ids"))
        items = _items(arrays, names)
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
            **{key: value for key, value in facts.items() if key != "sequence_ids"},
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
_RECOVERED: Mapping[str, tuple[str, int]] = {
    "positions": ("iu", 1), "counts": ("iu", 1), **dict.fromkeys(
        ("residuals", "explained", "conditions", "mean_squares", "doubts"), ("f", 1)
    ),
}  # fmt: skip
"""What a file of recovered states holds of each position."""
_ROWS: Mapping[str, tuple[str, int]] = {"rows": ("iu", 1)}
LARGEST = 2**30
"""Most bytes of one member: the shipped corpus has 160 MB of states."""


def _members(archive: zipfile.ZipFile) -> Mapping[str, tuple[str, int]]:
    return {**_MEMBERS, **_RECOVERED, **_ROWS} if "positions.npy" in archive.namelist() else _MEMBERS


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
    kinds, dimensions = {**_MEMBERS, **_RECOVERED, **_ROWS}[name]
    if array.dtype.kind not in kinds or array.ndim != dimensions:
        raise Mismatch(f"{name}.npy: an array of {array.dtype} {list(array.shape)}")
    return array


def _items(arrays: Mapping[str, Array], names: Sequence[str]) -> tuple[States, ...]:
    states, ids = arrays["states"], arrays["token_ids"]
    lengths = _lengths(arrays["lengths"], names)
    rows = lengths if "rows" not in arrays else _lengths(arrays["rows"], names)
    if sum(lengths) != len(ids) or sum(rows) != len(states):
        raise Mismatch(f"{states.shape} states and {len(ids)} token ids for {sum(lengths)} tokens")
    tokens, at = np.split(ids, np.cumsum(lengths)), np.cumsum([0, *rows])
    items: list[States] = []
    for number, name in enumerate(names):
        taken = slice(at[number], at[number + 1])
        own = tuple(tokens[number].tolist())
        if "rows" not in arrays:
            items.append(HiddenStates(name, own, states[taken]))
        else:
            beside = {each: arrays[each][taken] for each in _RECOVERED}
            items.append(RecoveredStates(name, own, states[taken], **beside))
            refuse_misfit(items[-1])
    return tuple(items)


def _lengths(array: Array, names: Sequence[str]) -> list[int]:
    lengths: list[int] = array.tolist()
    if len(names) != len(lengths):
        raise Mismatch(f"{len(names)} sequence ids for {len(lengths)} lengths")
    if min(lengths, default=0) < 0:
        raise Mismatch(f"a length of {min(lengths)}")
    return lengths
