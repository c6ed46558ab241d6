"""Features that do not show over HTTP: which configuration has each, and what its comparisons say."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from pytest_gptoss.judge.features import FEATURE_FACTS
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.report.tables.rows import npus
from pytest_gptoss.report.tables.table import OPEN, Cell, Table, heads
from pytest_gptoss.report.wording import Wording

__all__ = ["configured_table", "of_configuration"]

Document = Mapping[str, Json]

_STATUS = {"agrees": "PASS", "departs": "FAIL", "not judged": OPEN}
_UNKNOWN: Mapping[str, Json] = {"has": None}


def of_configuration(document: Document, feature: str, npu: str, translate: Wording) -> tuple[Cell, Cell]:
    """What one configuration says about a feature, as a status and a remark."""
    found = next((each for each in _configurations(document, feature) if each["device"] == npu), _UNKNOWN)
    if found["has"] is None:
        remark = translate("feature.unknown", device=npu, fact=FEATURE_FACTS[feature])
        return Cell(translate("status.OPEN"), status=OPEN), Cell(remark)
    source = translate.word("source", found["source"])
    setting = translate("feature.setting", setting=found["setting"], source=source)
    if not found["has"]:
        return Cell(translate("feature.absent"), status=OPEN), Cell(setting)
    against = {"gpu": found["against_gpu"], _first(document): found["against_first"]}
    said = [
        translate("feature.against", other=other, outcome=translate(f"feature.{outcome}"))
        for other, outcome in against.items()
        if other not in (npu, None)
    ]
    remark = "; ".join([setting, *said, *found["departs"]])
    return _outcome(_together(against.values()), translate), Cell(remark)


def configured_table(document: Document, translate: Wording) -> Table:
    """Each feature with the configurations that have it; empty with one configuration, or nothing known."""
    features = document["measurements"].get("features") or ()
    known = any(each["has"] is not None for row in features for each in row["configurations"])
    rows = (
        [row for each in features for row in _rows(document, each, translate)]
        if known and len(npus(document)) > 1
        else []
    )
    first = _first(document) or translate.figure(None)
    head = (
        *heads(translate, "feature", "configuration", "setting"),
        translate("head.against", other="gpu"),
        translate("head.against", other=first),
    )
    return Table("configured_features", translate("section.configured"), head, tuple(rows))


def _rows(document: Document, row: Mapping[str, Json], translate: Wording) -> Iterator[tuple[Cell, ...]]:
    """The configurations that have a feature, equal ones together; one row that says so where none has."""
    name = Cell(translate(f"feature.{row['feature']}"))
    alike: dict[tuple[str, str, str | None], list[str]] = {}
    for each in row["configurations"]:
        if each["has"]:
            against_first = None if each["device"] == _first(document) else each["against_first"]
            key = (each["setting"], each["against_gpu"], against_first)
            alike.setdefault(key, []).append(each["device"])
    if not alike:
        unknown = [each["device"] for each in row["configurations"] if each["has"] is None]
        said = translate("feature.nobody.known", devices=", ".join(unknown)) if unknown else ""
        yield name, Cell(translate("feature.nobody")), Cell(said), Cell(""), Cell("")
    for (setting, gpu, first), devices in alike.items():
        against = [Cell("") if each is None else _outcome(each, translate) for each in (gpu, first)]
        yield name, Cell(", ".join(devices)), Cell(setting), *against


def _configurations(document: Document, feature: str) -> Sequence[Mapping[str, Json]]:
    found = document["measurements"].get("features") or ()
    return next((each["configurations"] for each in found if each["feature"] == feature), ())


def _first(document: Document) -> str | None:
    """The configuration that the others are compared with; None where there is but one."""
    names = npus(document)
    return names[0] if len(names) > 1 else None


def _together(outcomes: Collection[str]) -> str:
    return next((each for each in ("departs", "agrees") if each in outcomes), "not judged")


def _outcome(outcome: str, translate: Wording) -> Cell:
    return Cell(translate(f"feature.{outcome}"), status=_STATUS[outcome])
