"""The audit of a load level on a real server: confirmed where it is sound, each trouble told."""

import dataclasses
from itertools import count

import pytest
from altering_proxy import Refusal, altering_proxy
from small_load import SMALL_LOAD

from pytest_gptoss.config.plan import make_plan
from pytest_gptoss.config.settings import Settings
from pytest_gptoss.run.engine import AcceptanceRun
from pytest_gptoss.run.replay import replayed

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
LONGER = dataclasses.replace(SMALL_LOAD, max_tokens=16)
ROW = "stress.audit.c01"
WRONG = 5000


@pytest.fixture
def audited(under_load, few_prompts):
    """The verdict on the audit of a server's answers, and the run."""

    def judge(url, task=LONGER):
        run = under_load(task, prompts=few_prompts, npu=url)
        return run.verdict("npu", ROW), run

    return judge


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_a_sound_server_confirms_its_answers_also_in_a_replay(audited, embedded_pair, endpoint, tmp_path):
    verdict, run = audited(embedded_pair["npu"], dataclasses.replace(LONGER, endpoint=endpoint, audit=None))
    assert (verdict.status, verdict.value, verdict.n) == ("PASS", 1.0, 3), verdict.reason
    assert verdict.details["compared"] >= 3 * 8
    again = replayed(Settings(replay=tmp_path / "report", report=tmp_path / "again"))
    assert again.load.audit is None
    second = AcceptanceRun(again, make_plan(again), tell=lambda _: None)
    second.begin()
    assert second.verdict("npu", ROW) == verdict
    second.close()
    run.close()


def test_only_so_many_are_audited_as_are_wanted(audited, embedded_pair):
    verdict, _ = audited(embedded_pair["npu"], dataclasses.replace(LONGER, audit=2))
    assert (verdict.status, verdict.n) == ("PASS", 2)


def test_a_token_that_the_quiet_server_would_not_say_is_named(audited, embedded_pair):
    """The 30th token under load, which belongs to the second measured answer or the first, is another one."""
    tokens = count()

    def alter(path, event):
        for choice in event.get("choices") or ():
            if (
                path == CHAT
                and choice.get("token_ids")
                and len(choice["token_ids"]) == 1
                and next(tokens) == 40
            ):
                return {**event, "choices": [{**choice, "token_ids": [WRONG]}]}
        return event

    with altering_proxy(embedded_pair["npu"], answer=alter) as url:
        verdict, _ = audited(url)
    assert verdict.status == "FAIL", verdict
    (row,) = verdict.details["departures"]
    assert row["token"] == WRONG
    assert f"generated {WRONG}" in verdict.reason


def test_a_server_without_token_ids_cannot_be_audited(audited, embedded_pair):
    def without(path, event):
        if path != CHAT or not event.get("choices"):
            return event
        choices = [
            {key: value for key, value in each.items() if key != "token_ids"} for each in event["choices"]
        ]
        return {**event, "choices": choices}

    with altering_proxy(embedded_pair["npu"], answer=without) as url:
        verdict, _ = audited(url)
    assert verdict.status == "INVALID"
    assert "the server did not tell its token ids" in verdict.reason


def test_a_server_that_scores_no_prompts_cannot_be_audited(audited, embedded_pair):
    def refuse(path, body):
        if path == COMPLETIONS and "prompt_logprobs" in body:
            raise Refusal(
                400, "application/json", '{"error": {"message": "prompt_logprobs is not supported"}}'
            )
        return body

    with altering_proxy(embedded_pair["npu"], request=refuse) as url:
        verdict, _ = audited(url)
    assert verdict.status == "INVALID"
    assert "prompt_logprobs is not supported" in verdict.reason


def test_a_level_that_failed_is_not_audited(audited, embedded_pair):
    def refuse(path, body):
        if path == CHAT and "min_tokens" in body:
            raise Refusal(500, "application/json", '{"error": {"message": "EngineCore died"}}')
        return body

    with altering_proxy(embedded_pair["npu"], request=refuse) as url:
        verdict, _ = audited(url)
    assert verdict.status == "INVALID"
    assert "EngineCore died" in verdict.reason
