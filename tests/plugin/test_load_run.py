"""A run's load on real servers, asked for verdicts as the plugin asks: the right rows red."""

import dataclasses
import threading
from itertools import pairwise

import httpx
import pytest
from altering_proxy import Refusal, altering_proxy
from small_load import SMALL_LOAD

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.model.results import InstrumentError
from pytest_gptoss.report.builders.load_levels import load_levels, load_requests
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.run.replay import replayed

CHAT = "/v1/chat/completions"


def judged(run, *rows):
    return {row: run.verdict("npu", f"performance.{row}") for row in rows}


def statuses(run, *rows):
    return {row: verdict.status for row, verdict in judged(run, *rows).items()}


def levels_of(run):
    return load_levels(run.store, run.plan, devices=["npu", "gpu"], task=run.settings.load)["levels"]


def is_load(path, body):
    return path == CHAT and "min_tokens" in body


@pytest.mark.parametrize(("defect", "slow"), [("slow-prefill", "ttft.c01"), ("slow-decode", "tpot.c01")])
def test_a_slow_server_fails_where_it_is_slow(under_load, reference_server, defect, slow):
    npu = reference_server(defect=defect, dtype="bfloat16")
    task = dataclasses.replace(SMALL_LOAD, requests=2)
    found = statuses(under_load(task, npu=npu.url), "ttft.c01", "tpot.c01")
    assert found == {row: "FAIL" if row == slow else "PASS" for row in ("ttft.c01", "tpot.c01")}


def test_an_answer_of_another_length_is_incomplete_and_names_the_switch(under_load, embedded_pair):
    def shorter(path, body):
        return {**body, "max_tokens": 5, "min_tokens": 5} if is_load(path, body) else body

    with altering_proxy(embedded_pair["npu"], request=shorter) as url:
        found = judged(under_load(npu=url), "completed.c01", "uncached.c01", "ttft.c01", "tpot.c01")
    assert [each.status for each in found.values()] == ["FAIL", "PASS", "INVALID", "INVALID"]
    reason = found["completed.c01"].reason
    assert "5 output tokens by the server's count, 6 were asked for" in reason
    assert "--gptoss-bench-endpoint completions" in reason
    assert found["ttft.c01"].reason == f"performance.completed.c01 does not hold: {reason}"


def test_prompts_from_a_cache_are_no_measurement(under_load, embedded_pair):
    first = {}

    def same_prompt(path, body):
        if not is_load(path, body):
            return body
        first.setdefault("messages", body["messages"])
        return {**body, "messages": first["messages"], "cache_salt": "one"}

    with altering_proxy(embedded_pair["npu"], request=same_prompt) as url:
        found = judged(under_load(npu=url), "completed.c01", "uncached.c01", "ttft.c01")
    assert [each.status for each in found.values()] == ["PASS", "FAIL", "INVALID"]
    assert "prompt tokens of 3 requests came from a prefix cache" in found["uncached.c01"].reason
    assert "performance.uncached.c01 does not hold" in found["ttft.c01"].reason


def test_salts_alone_keep_equal_prompts_out_of_the_cache(under_load, embedded_pair):
    first = {}

    def same_prompt(path, body):
        if not is_load(path, body):
            return body
        return {**body, "messages": first.setdefault("messages", body["messages"])}

    with altering_proxy(embedded_pair["npu"], request=same_prompt) as url:
        assert statuses(under_load(npu=url), "uncached.c01") == {"uncached.c01": "PASS"}


def test_without_metrics_uncached_is_skipped_and_the_rest_judged(under_load, embedded_pair):
    def no_metrics(path, body):
        if path == "/metrics":
            raise Refusal(404, "application/json", '{"detail": "Not Found"}')
        return body

    with altering_proxy(embedded_pair["npu"], request=no_metrics) as url:
        run = under_load(npu=url)
        found = judged(run, "uncached.c01", "completed.c01", "ttft.c01")
    assert (found["uncached.c01"].status, found["completed.c01"].status) == ("SKIPPED", "PASS")
    assert "when probed: GET" in found["uncached.c01"].reason
    assert "404" in found["uncached.c01"].reason
    # What is skipped stops nothing: the row has a reason of its own, for this proxy hands streams over whole.
    assert found["ttft.c01"].status == "INVALID"
    assert "buffered in 3 of 3 requests" in found["ttft.c01"].reason
    assert levels_of(run)[0]["server"] is None


@pytest.mark.parametrize(
    ("dropped", "reason"),
    [
        (("token_ids", "usage"), "tokens are not accounted for in 3 of 3 requests"),
        # A running usage was asked for, and accounts for all.
        (("token_ids",), "buffered in 3 of 3 requests"),
    ],
)
def test_a_gateway_that_passes_on_no_counts_leaves_no_latency(under_load, embedded_pair, dropped, reason):
    def without(path, event):
        if path != CHAT or not event.get("choices"):
            return event
        choices = [
            {key: value for key, value in each.items() if key not in dropped} for each in event["choices"]
        ]
        return {**{key: value for key, value in event.items() if key not in dropped}, "choices": choices}

    with altering_proxy(embedded_pair["npu"], answer=without) as url:
        found = judged(under_load(npu=url), "completed.c01", "ttft.c01", "tpot.c01")
    assert [each.status for each in found.values()] == ["PASS", "INVALID", "INVALID"]
    assert reason in found["ttft.c01"].reason
    assert reason in found["tpot.c01"].reason


def test_a_round_trip_that_fails_is_only_not_shown(under_load, embedded_pair):
    probed = threading.Event()

    def no_version(path, body):
        if path == "/version" and probed.is_set():
            raise ConnectionError
        return body

    with altering_proxy(embedded_pair["npu"], request=no_version) as url:
        run = under_load(npu=url)
        run.devices.probed()
        probed.set()
        assert statuses(run, "completed.c01") == {"completed.c01": "PASS"}
    (level,) = levels_of(run)
    assert (level["rtt_ms"], level["server"]["requests"]) == (None, 3)


def test_counters_that_lag_leave_the_warm_up_out(under_load, embedded_pair):
    """Each page of /metrics is as old as the last time it was asked for."""
    pages = []

    def late(path, body):
        if path == "/metrics":
            pages.append(httpx.get(f"{embedded_pair['npu']}/metrics", trust_env=False).text)
            raise Refusal(200, "text/plain", pages[-2] if len(pages) > 1 else pages[-1])
        return body

    with altering_proxy(embedded_pair["npu"], request=late) as url:
        run = under_load(npu=url)
        assert statuses(run, "completed.c01") == {"completed.c01": "PASS"}
    (level,) = levels_of(run)
    assert (level["server"]["requests"], level["server"]["prompt_tokens"]) == (3, 3 * 256)


def test_a_stream_without_its_end_is_a_failed_request(under_load, embedded_pair):
    lock, ended = threading.Lock(), [0]

    def without_usage(path, event):
        if path == CHAT and event.get("usage") and event["usage"]["completion_tokens"] == 6:
            with lock:
                ended[0] += 1
                # The first answer only warms up, the second is whole.
                return event if ended[0] <= 2 else None
        return event

    with altering_proxy(embedded_pair["npu"], answer=without_usage) as url:
        run = under_load(npu=url)
        found = judged(run, "completed.c01", "tpot.c01")
    assert [each.status for each in found.values()] == ["FAIL", "INVALID"]
    assert found["completed.c01"].value == pytest.approx(1 / 3)
    requests = load_requests(run.store, run.plan, devices=["npu"], task=run.settings.load)
    assert [request["error"] and request["error"]["kind"] for request in requests] == [
        None,
        "stream",
        "stream",
    ]


def test_token_ids_on_completions_twice_and_the_gpu_in_turn(under_load, embedded_pair):
    task = dataclasses.replace(SMALL_LOAD, endpoint="completions", trials=2, gpu=True)
    run = under_load(task, **embedded_pair)
    run.expect([("npu", "performance.tpot.c01")])
    assert statuses(run, "completed.c01", "uncached.c01") == {"completed.c01": "PASS", "uncached.c01": "PASS"}
    tpot = run.verdict("npu", "performance.tpot.c01")
    assert tpot.n == 2
    assert tpot.interval is not None
    left = [("npu", f"performance.{row}") for row in ("tpot.c01", "ttft.c01", "throughput.c16")]
    # As after an interruption: what was measured and not yet judged, nothing else.
    assert [verdict.threshold.id for verdict in run.judge_finished_levels(left)] == ["performance.ttft.c01"]
    measured = [(level["device"], level["trial"], level["completed"]) for level in levels_of(run)]
    assert measured == [("npu", 0, 3), ("npu", 1, 3), ("gpu", 0, 3), ("gpu", 1, 3)]
    requests = list(load_requests(run.store, run.plan, devices=["npu", "gpu"], task=task))
    assert {request["prompt_tokens"] for request in requests} == {256}
    spans = {}
    for request in requests:
        key = (request["trial"], request["device"])
        start, end = spans.get(key, (request["start_ns"], 0))
        spans[key] = min(start, request["start_ns"]), max(end, request["end_ns"])
    order = sorted(spans, key=spans.get)
    assert order == [(0, "npu"), (0, "gpu"), (1, "npu"), (1, "gpu")]
    for before, after in pairwise(order):
        assert spans[before][1] <= spans[after][0]


def test_a_finished_run_is_judged_again_with_no_server(under_load, embedded_pair, tmp_path):
    run = under_load(npu=embedded_pair["npu"])
    before = judged(run, "completed.c01", "ttft.c01")
    again = replayed(Settings(replay=tmp_path / "report", report=tmp_path / "again"))
    assert again.load == SMALL_LOAD
    second = AcceptanceRun(again, make_plan(again), tell=lambda _: None)
    second.begin()
    assert judged(second, "completed.c01", "ttft.c01") == before
    second.close()


@pytest.mark.parametrize(("problem_at", "invalid"), [("4", False), ("1", True)])
def test_a_level_that_could_not_be_calibrated_spoils_itself_alone(
    under_load, embedded_pair, problem_at, invalid
):
    run = under_load(
        dataclasses.replace(SMALL_LOAD, concurrency=(1, 4), requests=4, calibrate=True),
        npu=embedded_pair["npu"],
    )
    exact = InstrumentError(1, 50, *(0.0,) * 4, load_held=0.5)
    levels = {"1": {"error": dataclasses.asdict(exact), "problem": None}}
    run.store.save_document("instrument", {**levels, problem_at: {"error": None, "problem": "it broke"}})
    verdict = judged(run, "ttft.c01")["ttft.c01"]
    assert (verdict.status == "INVALID") is invalid
    assert ("could not be calibrated at concurrency 1 (it broke)" in verdict.reason) is invalid
    load = load_levels(run.store, run.plan, devices=["npu"], task=run.settings.load)
    assert load["instrument"]["problem"] == ("it broke" if invalid else None)
    assert any("npu c01: the client held 50.0% of" in note for note in load["notes"]) is not invalid
    assert ("c04: the instrument could not be calibrated: it broke" in load["notes"]) is not invalid


def test_a_level_left_out_is_never_silently_absent(under_load, embedded_pair):
    found = judged(under_load(npu=embedded_pair["npu"]), "throughput.c16", "completed.c16")
    assert [each.status for each in found.values()] == ["INVALID", "SKIPPED"]
    assert "load level c16 is not in this run" in found["throughput.c16"].reason


def test_a_context_too_short_is_said_before_anything_is_sent(under_load, embedded_pair):
    def short(path, body):
        if path == "/v1/models":
            body["data"][0]["max_model_len"] = 261
        return body

    with altering_proxy(embedded_pair["npu"], answer=short) as url:
        found = judged(under_load(npu=url), "completed.c01")["completed.c01"]
    assert found.status == "INVALID"
    assert "serve with --max-model-len 262" in found.reason


def test_a_server_that_answers_no_warm_up_is_not_measured(under_load, embedded_pair):
    asked = []

    def refuse(path, body):
        if is_load(path, body):
            asked.append(body)
            raise Refusal(503, "application/json", '{"error": {"message": "the engine is dead"}}')
        return body

    with altering_proxy(embedded_pair["npu"], request=refuse) as url:
        found = judged(under_load(npu=url), "completed.c01", "ttft.c01")
    assert [each.status for each in found.values()] == ["INVALID", "INVALID"]
    for verdict in found.values():
        assert "no request that warms the server up was answered" in verdict.reason
        assert "the engine is dead" in verdict.reason
    assert len(asked) == 1


def test_a_server_that_stops_answering_is_given_up(under_load, embedded_pair):
    asked = []

    def refuse(path, body):
        if is_load(path, body):
            asked.append(body)
            if len(asked) > 2:  # one to warm up, one measured
                raise Refusal(503, "application/json", '{"error": {"message": "the engine is dead"}}')
        return body

    task = dataclasses.replace(SMALL_LOAD, requests=500)
    with altering_proxy(embedded_pair["npu"], request=refuse) as url:
        run = under_load(task, npu=url)
        found = judged(run, "completed.c01", "ttft.c01")
    assert [each.status for each in found.values()] == ["FAIL", "INVALID"]
    assert found["completed.c01"].value == pytest.approx(1 / 500)
    unsent = 500 - levels_of(run)[0]["completed"] - levels_of(run)[0]["failed"]
    assert unsent > 0
    assert f"{unsent} were not sent after so many failures in a row" in found["completed.c01"].reason


def test_a_server_that_is_gone_is_invalid(under_load, embedded_pair):
    gone = threading.Event()

    def refuse(path, body):
        if gone.is_set():
            raise ConnectionError
        return body

    with altering_proxy(embedded_pair["npu"], request=refuse) as url:
        run = under_load(npu=url)
        run.devices.probed()
        gone.set()
        found = judged(run, "completed.c01", "ttft.c01")
    assert [each.status for each in found.values()] == ["INVALID", "INVALID"]
