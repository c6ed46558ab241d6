"""What is told beside the verdicts: of drift to several lengths, only what says something of its own."""

from pytest_gptoss.judge.roles import Roles
from pytest_gptoss.report.builders.findings import findings, info_name
from pytest_gptoss.run.store import Store


def told(tmp_path, **drifts):
    """The drift rows of a run that kept these: size -> slope, None where it is not known."""
    store = Store(tmp_path / "run")
    store.begin()
    names = ["noise_npu", *(f"position_drift.{size.removeprefix('to_')}" for size in drifts)]
    for name, (size, slope) in zip(names, {"noise": 1.0, **drifts}.items(), strict=True):
        store.save_document(
            info_name("npu", name),
            {"value": slope, "unit": None, "n": None, "ci": None, "details": {}, "finding": f"of {size}"},
        )
    found = findings(store, [Roles("npu")], [], info=names)
    assert found["notes"][0] == "of noise"
    assert [row["finding"] for row in found["info"]] == found["notes"]
    return found["notes"][1:]


def test_the_longest_known_drift_stands_for_the_shorter(tmp_path):
    assert told(tmp_path, to_256=0.1, to_1k=0.2, to_32k=0.3) == ["of to_32k"]


def test_the_first_unknown_drift_stands_for_the_longer(tmp_path):
    assert told(tmp_path, to_256=0.1, to_1k=0.2, to_32k=None, to_64k=None) == ["of to_1k", "of to_32k"]


def test_no_drift_is_no_row(tmp_path):
    assert told(tmp_path) == []
