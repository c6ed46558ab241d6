"""Which rows of the report document a table is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.shown_nodes import shown_nodes
from pytest_gptoss.report.wording import Wording

__all__ = ["by_threshold", "device_caption", "nothing", "npus", "of_device"]

Row = Mapping[str, Json]
Document = Mapping[str, Json]


def npus(document: Document) -> list[str]:
    """Names of the devices under test, in order; those of a run that judged nothing come from its devices.

    Of a fleet they are the nodes that are shown in full, the worst first.
    """
    shown = shown_nodes(document)
    if shown is not None:
        return shown
    judged = [row["npu"] for row in [*document["verdicts"], *document["not_judged"]]]
    return list(
        dict.fromkeys([*(each["name"] for each in document["devices"] if each["role"] == "npu"), *judged])
    )


def device_caption(document: Document, npu: str, title: str) -> str:
    """A table's caption, with the device's name when several are under test."""
    return title if len(npus(document)) == 1 else f"{title} ({npu})"


def of_device(rows: Iterable[Row], device: str) -> list[Row]:
    """The rows of one device."""
    return [row for row in rows if row["device"] == device]


def by_threshold(document: Document, npu: str) -> dict[str, Row]:
    """A device's verdicts by threshold id."""
    return {row["threshold_id"]: row for row in document["verdicts"] if row["npu"] == npu}


def nothing(document: Document, key: str, translate: Wording) -> str:
    """What stands where a list is empty; of a run that has not ended nothing good is told."""
    return translate("nothing.yet" if document["state"] == "running" else f"nothing.{key}")
