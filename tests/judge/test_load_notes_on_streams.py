"""What the report says beside a level whose streams do not tell its latencies."""

import pytest
from made_load import level, request, steady

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.model.inputs import LoadTask
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.report.builders.load_levels import load_levels
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios.kinds import Load

TASK = LoadTask(concurrency=(1,), requests=4, max_tokens=32, calibrate=False)


@pytest.fixture
def told(tmp_path):
    """The level's part of the report document, and its notes."""

    def tell(*requests):
        settings = Settings(
            devices=(DeviceSettings("npu", "npu", "http://127.0.0.1:1"),), profile="embedded", load=TASK,
            report=tmp_path / "report",
        )  # fmt: skip
        store = Store(tmp_path / "run")
        store.begin()
        made = level(*requests)
        store.save(Measurement(Load("npu", "c01", 0).id, "npu", (made,)))
        load = load_levels(store, make_plan(settings), devices=["npu"], task=TASK)
        return load["levels"][0], "\n".join(load["notes"])

    return tell


def requests(*token_ms, **fields):
    return [request(f"r{place}", 0, *token_ms, **fields) for place in range(4)]


def test_a_sound_level_has_no_such_note(told):
    row, notes = told(*steady(4, ttft=80, tpot=10, tokens=32))
    assert row["tokens_per_event"] == 1
    assert "buffered" not in notes
    assert "accounted" not in notes
    assert "per event" not in notes


def test_a_buffered_level_is_named(told):
    row, notes = told(*requests(*(400,) * 32))
    assert "npu c01: token events came buffered in 4 of 4 requests" in notes
    assert row["completed"] == 4


def test_unknown_counts_are_no_counts(told):
    row, notes = told(*requests(80, 90, 100, counted_by=None, completion_tokens=11))
    assert "npu c01: generated tokens are not accounted for in 4 of 4 requests" in notes
    assert row["tokens_per_event"] is None
    assert row["tpot_ms"] is None
    assert row["itl_ms"]["p50"] == 10


def test_itl_of_events_with_several_tokens_is_said_to_be_per_event(told):
    row, notes = told(*requests(80, 120, 160, tokens=(1, 8, 8)))
    assert row["tokens_per_event"] == pytest.approx(17 / 3)
    assert row["tpot_ms"]["p50"] == 5
    assert "npu c01: ITL is per event, which carries 5.7 tokens on average" in notes
