"""The calibration that a run keeps: level by level, so that one that failed spoils no other."""

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_gptoss.model.errors import MeasurementError, ReferenceServerError
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.results import InstrumentError
from pytest_gptoss.run.instrument import ensure_calibrated, instrument_errors, instrument_problems
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios import calibration
from pytest_gptoss.scenarios.truth import truth_server

SHAPES = {f"c0{concurrency}": LoadShape(concurrency, 4, 16, 4) for concurrency in (1, 2, 4)}
ERROR = {"ttft_bias_ms": 0.1, "ttft_p99_ms": 0.4, "tpot_bias_ms": 0.0, "tpot_p99_ms": 0.1, "load_held": 1.0}


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "run")
    store.begin()
    return store


@pytest.fixture
def failing(monkeypatch):
    """Calibration in which some levels end in an exception; returns the levels that were tried."""

    def fail(troubles):
        tried = []

        def level(server, shape, *_, **__):
            tried.append(shape.concurrency)
            if shape.concurrency in troubles:
                raise troubles[shape.concurrency]
            return InstrumentError(shape.concurrency, 4, **ERROR)

        monkeypatch.setattr(calibration, "_level", level)
        return tried

    return fail


def calibrated(store, shapes=SHAPES):
    ensure_calibrated(store, shapes, tell=lambda text: None)
    return list(instrument_errors(store)), dict(instrument_problems(store))


def test_a_level_that_fails_is_its_own_problem(store, failing):
    tried = failing({2: MeasurementError("calibration: cut")})
    assert calibrated(store) == (["c01", "c04"], {"c02": "calibration: cut"})
    assert calibrated(store) == (["c01", "c04"], {"c02": "calibration: cut"})
    assert tried == [1, 2, 4]


def test_levels_are_kept_as_they_come(store, failing):
    failing({4: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        calibrated(store)
    tried = failing({})
    assert calibrated(store) == (["c01", "c02", "c04"], {})
    assert tried == [4]


def test_a_server_that_does_not_start_is_every_levels_problem(store, monkeypatch):
    def refuse(*arguments):
        raise ReferenceServerError("the ground-truth server did not start: no")

    monkeypatch.setattr(calibration, "truth_server", refuse)
    errors, problems = calibrated(store)
    assert errors == []
    assert problems == dict.fromkeys(SHAPES, "the ground-truth server did not start: no")


def test_a_ground_truth_server_that_died_is_said_in_the_projects_words():
    with truth_server() as server:
        server.process.stop()
        for ask in (server.forget, server.stamps):
            with pytest.raises(ReferenceServerError, match="does not tell what it did"):
                ask()


def test_a_slow_start_of_the_ground_truth_server_names_no_option(monkeypatch):
    from pytest_gptoss.scenarios import truth

    monkeypatch.setattr(truth, "_READY_S", 0.0)
    with pytest.raises(ReferenceServerError) as caught, truth_server():
        pass
    assert "not ready within 0 s" in str(caught.value)
    assert "--gptoss-ready-timeout" not in str(caught.value)


def test_levels_are_kept_by_concurrency_where_that_is_their_name(store, failing):
    failing({})
    shapes = {"c16-p4096": LoadShape(16, 16, 4096, 4), "c16": LoadShape(16, 16, 16, 4), **SHAPES}
    assert calibrated(store, shapes) == (["c01", "c02", "c04", "c16", "c16-p4096"], {})
    kept = store.load_document("instrument", Mapping[str, Any])
    assert set(kept) == {"1", "2", "4", "16", "c16-p4096"}
