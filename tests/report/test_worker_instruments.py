"""What each worker of a Ray cluster found of its instrument stands in the reports, below the levels."""

import pytest
from documents import recorded, with_load

from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.model.results import LoopHealth
from pytest_gptoss.report.builders.load_levels import _client
from pytest_gptoss.report.schema import faults
from pytest_gptoss.report.tables.load import instrument_table
from pytest_gptoss.report.wording import Wording

WORKER = {
    "level": "c16", "worker": "Ray worker 2 of 2 (node 10.0.0.7)", "concurrency": 8, "requests": 64,
    "ttft_bias_ms": 0.31, "ttft_p99_ms": 1.27, "tpot_bias_ms": 0.012, "tpot_p99_ms": 0.04, "load_held": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_worker_has_a_row_below_the_levels(language):
    document = with_load(recorded("passing"))
    before = instrument_table(document, Wording(language)).rows
    document["measurements"]["load"]["instrument"]["workers"] = [WORKER]
    rows = instrument_table(document, Wording(language)).rows
    assert rows[:-1] == before
    assert [cell.text for cell in rows[-1]][:3] == ["c16, Ray worker 2 of 2 (node 10.0.0.7)", "0.31", "1.27"]


def test_the_schema_knows_it():
    document = with_load(recorded("passing"))
    document["measurements"]["load"]["instrument"]["workers"] = [WORKER]
    assert faults(document) == []


def test_health_tells_of_several_only_where_there_were_several():
    assert set(_client(LoopHealth(1, 2, 3, 0.5))) == {"lag_p50_ms", "lag_p99_ms", "lag_max_ms", "cpu_share"}
    told = _client(LoopHealth(1, 2, 3, 0.5, (0.1, 0.5), 0.2))
    assert (told["cpu_shares"], told["clock_error_ms"]) == ((0.1, 0.5), 0.2)
