"""Several configurations of one device side by side: which of them departs, and from what.

ACL graphs, tensor, pipeline and expert parallel do not show over HTTP; they show as a difference
between two servers of the same model. Pure: verdict rows in, a matrix out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.message import both, joined, listed, say
from pytest_gptoss.model.verdicts import PRECISION_CONTRACT

__all__ = ["configuration_matrix"]

Rows = Sequence[Mapping[str, Json]]

_FIGURES = ("inputs_identical", *PRECISION_CONTRACT)
_AGAINST_FIRST = {name: f"configuration.{name}" for name in _FIGURES}
_AGAINST_GPU = {name: f"precision.{name}" for name in _FIGURES} | {"inputs_identical": "inputs.identical"}


def configuration_matrix(npus: Sequence[str], rows: Rows) -> dict[str, Json] | None:
    """The matrix of the devices under test, the first being what the others are compared with.

    ``configurations``: per device ``against_gpu`` and ``against_first``, each figure -> value, limit and
    verdict (null where it was not judged), and ``departs_from``. ``finding`` names who departs.
    None with fewer than two devices or nothing judged.
    """
    if len(npus) < 2 or not rows:
        return None
    by_key = {(row["npu"], row["threshold_id"]): row for row in rows}
    matrix = [_configuration(npu, npus[0], by_key) for npu in npus]
    return {"first": npus[0], "configurations": matrix, "finding": _finding(npus[0], matrix)}


def _configuration(
    npu: str, first: str, rows: Mapping[tuple[str, str], Mapping[str, Json]]
) -> dict[str, Json]:
    against = {
        "gpu": {name: _cell(rows.get((npu, row))) for name, row in _AGAINST_GPU.items()},
        first: {
            name: None if npu == first else _cell(rows.get((npu, row)))
            for name, row in _AGAINST_FIRST.items()
        },
    }
    label = next(
        (row["npu_label"] for (name, _), row in rows.items() if name == npu and row["npu_label"]), None
    )
    return {
        "device": npu,
        "label": label,
        "against_gpu": against["gpu"],
        "against_first": against[first],
        "departs_from": [
            other
            for other, cells in against.items()
            if any(cell and cell["verdict"] == "FAIL" for cell in cells.values())
        ],
    }


def _cell(row: Mapping[str, Json] | None) -> dict[str, Json] | None:
    if row is None:
        return None
    return {name: row[name] for name in ("threshold_id", "value", "comparison", "limit", "unit", "verdict")}


def _finding(first: str, matrix: Sequence[Mapping[str, Json]]) -> str | None:
    from_gpu = [each["device"] for each in matrix if "gpu" in each["departs_from"]]
    from_first = [each["device"] for each in matrix if first in each["departs_from"]]
    parts = []
    if from_first:
        parts.append(say("{from_first} from {first}", from_first=_listed(from_first), first=first))
    if from_gpu:
        parts.append(say("{from_gpu} from gpu", from_gpu=_listed(from_gpu)))
    if not parts:
        return None
    said = say("departs: {parts}", parts=joined(parts))
    sound = [each["device"] for each in matrix if each["device"] not in from_gpu and _measured(each)]
    if from_gpu and sound:
        return say(
            "{said}: suspect what {from_gpu} has and {sound} has not",
            said=said,
            from_gpu=_listed(from_gpu),
            sound=_listed(sound),
        )
    if len(from_gpu) == len(matrix) and not from_first:
        return say(
            "{said}: the fault is in all configurations alike, not in what tells them apart", said=said
        )
    return said


def _measured(configuration: Mapping[str, Json]) -> bool:
    """Whether the comparison with the GPU can call a device sound: something held, nothing is in doubt."""
    verdicts = {cell["verdict"] for cell in configuration["against_gpu"].values() if cell}
    return "PASS" in verdicts and "INVALID" not in verdicts


def _listed(names: Sequence[str]) -> str:
    return both([listed(names[:-1]), names[-1]] if len(names) > 1 else names)
