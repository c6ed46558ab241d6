"""What probes say of capacity: a figure, a bound, or that the client was the bottleneck."""

import dataclasses
import json

import pytest
from made import failure, measurement

from pytest_gptoss.judge.metrics.capacity import capacity
from pytest_gptoss.judge.thresholds import load_profile
from pytest_gptoss.model.arrivals import Arrivals, Slo, TraceFile
from pytest_gptoss.model.capacity import CapacityProbe, CapacityTask
from pytest_gptoss.model.errors import InsufficientData, UsageError
from pytest_gptoss.model.inputs import LoadShape
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.stored_json import Mismatch
from pytest_gptoss.scenarios.capacity_task import capacity_task
from pytest_gptoss.scenarios.codec import decode, encode

TASK = CapacityTask(Slo(ttft_ms=100.0, tpot_ms=20.0), prompt_tokens=8, max_tokens=4)


def probe(rate, goodput, *, decided=True, **fields):
    kept = round(goodput * 1000)
    low, high = (goodput, goodput) if decided else (0.0, 1.0)
    whole = {"failed": 0, "send_delay_ms": 0.2, "ttft_p50_ms": 50.0, "ttft_p95_ms": 90.0, **fields}
    return CapacityProbe(TASK, rate, 60.0, 1000, kept, low, high, **whole)


SEARCH = [probe(8, 1.0), probe(16, 0.2), probe(12, 0.96, decided=False), probe(12.5, 0.5)]


def test_the_figure_is_the_middle_and_the_interval_reaches_to_what_is_sure():
    found = capacity(npu=measurement("npu", SEARCH))
    assert (found.value, found.unit, found.n, found.interval) == (12.25, "req/s", 4, (8, 12.5))
    assert found.details["slo"] == {"ttft_ms": 100.0, "tpot_ms": 20.0, "share": 0.95}
    assert [each["rate"] for each in found.details["probes"]] == [8, 16, 12, 12.5]
    assert "finding" not in found.details


def test_without_a_sure_side_there_is_no_interval():
    unsure = [probe(8, 1.0, decided=False), probe(8.2, 0.5)]
    assert capacity(npu=measurement("npu", unsure)).interval is None


def test_tokens_that_were_held_back_tell_no_tpot():
    held = [probe(8, 1.0, buffered=501), probe(16, 0.2)]
    with pytest.raises(InsufficientData, match="501 of 1000 requests came buffered, so no TPOT is known"):
        capacity(npu=measurement("npu", held))
    sound = [probe(8, 1.0, buffered=500), probe(16, 0.2, buffered=1000)]
    assert capacity(npu=measurement("npu", sound)).value == 12
    without_tpot = dataclasses.replace(TASK, slo=Slo(ttft_ms=100.0))
    ttft_alone = [dataclasses.replace(each, task=without_tpot) for each in held]
    assert capacity(npu=measurement("npu", ttft_alone)).value == 12


def test_failed_requests_are_told():
    failing = [probe(8, 1.0), probe(8.2, 0.5, failed=500, failure="HTTP 503")]
    found = capacity(npu=measurement("npu", failing))
    assert found.details["finding"] == "at 8.2 requests/s 500 of 1000 requests failed, first HTTP 503"


@pytest.mark.parametrize(
    ("probes", "why"),
    [
        ([probe(1000, 1.0)], "1000 requests/s still keep the service level.*allow a higher rate"),
        (
            [probe(0.01, 0.0)],
            "even 0.01 requests/s do not.*0.0% of its requests do, the median TTFT is 50.0 ms",
        ),
        ([probe(0.01, 0.0, failed=1000, failure="HTTP 503")], "even 0.01 requests/s do not.*first HTTP 503"),
        ([probe(1, 0.0, ttft_p50_ms=None)], "the median TTFT is - ms"),
        (
            [probe(8, 1.0), probe(8.2, 0.5, send_delay_ms=5.1)],
            "at 8.2 requests/s the client was late, not the server",
        ),
    ],
)
def test_a_bound_is_no_figure_and_a_late_client_has_none(probes, why):
    with pytest.raises(InsufficientData, match=why):
        capacity(npu=measurement("npu", probes))


def test_a_client_that_is_late_while_the_level_is_kept_does_no_harm():
    late = [probe(8, 1.0, send_delay_ms=50.0), probe(8.2, 0.5)]
    assert capacity(npu=measurement("npu", late)).value == pytest.approx(8.1)


def test_a_search_that_broke_off_has_no_figure():
    broken = measurement("npu", SEARCH, failures=[dataclasses.replace(failure("*"), message="it is gone")])
    with pytest.raises(InsufficientData, match="it is gone"):
        capacity(npu=broken)


def test_probes_are_stored_and_read_again():
    items = [*SEARCH, probe(20, 0.0, failed=1000, failure="HTTP 503", ttft_p50_ms=None)]
    document, arrays = encode(Measurement("capacity-npu", "npu", tuple(items)))
    assert decode(json.loads(json.dumps(document)), arrays).items == tuple(items)
    document["items"][0]["kept"] = 1001
    with pytest.raises(Mismatch, match="1001 of 1000 requests"):
        decode(document, arrays)


# -- the row and its service level --------------------------------------------------------------


def changed(tmp_path, text):
    file = tmp_path / "limits.toml"
    file.write_text(f'[thresholds."performance.capacity"]\n{text}\n', "utf-8")
    return load_profile("embedded", overrides=file).thresholds


def test_the_row_is_there_where_a_file_gives_it_a_limit(tmp_path):
    assert "performance.capacity" not in load_profile("embedded").thresholds
    row = changed(tmp_path, "limit = 8")["performance.capacity"]
    assert (row.comparison, row.limit, row.unit, row.tier) == (">", 8.0, "req/s", "assurance")
    with pytest.raises(UsageError, match=r"performance\.capacity.*no limit of its own"):
        changed(tmp_path, 'statistic = "bisection"')


def test_capacity_asks_what_the_first_level_with_a_service_level_asks():
    levels = {"c01": LoadShape(1, 8, 64, 32), "c04": LoadShape(4, 8, 128, 16, "completions", slo=TASK.slo)}
    task = capacity_task(levels, gated=True)
    assert (task.slo, task.prompt_tokens, task.max_tokens, task.endpoint) == (
        TASK.slo,
        128,
        16,
        "completions",
    )
    assert (task.probe_s, task.first_rate) == (120.0, 1.0)


def test_an_open_level_says_how_long_a_probe_lasts_and_where_it_begins():
    trace = Arrivals(4.0, "trace", trace=TraceFile("t.csv", "0" * 64))
    open_level = LoadShape(4, 8, 64, 32, slo=TASK.slo, arrivals=Arrivals(8.0, seed=3), duration_s=30.0)
    levels = {"trace": LoadShape(4, 8, 900, 9, slo=TASK.slo, arrivals=trace), "r8": open_level}
    task = capacity_task(levels, gated=True)
    assert (task.probe_s, task.first_rate, task.seed, task.prompt_tokens) == (30.0, 8.0, 3, 64)


def test_without_a_service_level_a_row_is_a_usage_error():
    levels = {"c01": LoadShape(1, 8, 64, 32, slo=Slo(share=0.9))}
    assert capacity_task(levels, gated=False) is None
    with pytest.raises(UsageError, match="--gptoss-slo-ttft MS"):
        capacity_task(levels, gated=True)
