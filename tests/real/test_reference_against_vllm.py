"""The reference server against real vLLM: the same checkpoint, the same chat, bfloat16 against bfloat16."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import vllm_cpu
from needs_vllm import NEEDS_VLLM, VENV

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.scenarios import prompts
from pytest_gptoss.servers.embedded import start_reference

pytestmark = NEEDS_VLLM

DATE = "2026-01-01"
MODEL = "gpt-oss-20b"
EXACT_SHARE = 0.95
NEAR_TIE_NATS = 0.5
PATIENCE = httpx.Timeout(120.0)


@dataclass(frozen=True)
class Answer:
    """A chat answer. ``steps`` maps, per token, the 20 likeliest ids to log-probabilities."""

    prompt_token_ids: Sequence[int]
    token_ids: Sequence[int]
    steps: Sequence[Mapping[int, float]]
    reasoning: str
    content: str
    finish_reason: str


# -- the two servers --------------------------------------------------------------------------


@contextmanager
def vllm_server(checkpoint: Path, *, pooling: bool) -> Iterator[httpx.Client]:
    log = checkpoint / ("pooling.log" if pooling else "chat.log")
    with (
        vllm_cpu.serving(checkpoint, venv=VENV, pooling=pooling, start_date=DATE, log=log) as url,
        client(url) as ask,
    ):
        yield ask


@pytest.fixture(scope="module")
def reference() -> Iterator[httpx.Client]:
    with (
        start_reference("tiny", "bfloat16", environment={"VLLM_SYSTEM_START_DATE": DATE}) as server,
        client(server.url) as ask,
    ):
        yield ask


def client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)


@pytest.fixture(scope="module")
def vllm_answers(checkpoint: Path) -> Mapping[str, Answer]:
    with vllm_server(checkpoint, pooling=False) as ask:
        return answers(ask)


@pytest.fixture(scope="module")
def reference_answers(reference: httpx.Client) -> Mapping[str, Answer]:
    return answers(reference)


# -- asking -----------------------------------------------------------------------------------


def answers(ask: httpx.Client) -> Mapping[str, Answer]:
    """Ask every prompt of the embedded set; answers by prompt id."""
    return {
        prompt.id: chat(ask, [{"role": m.role, "content": m.content} for m in prompt.messages])
        for prompt in prompts.load_shipped("embedded").prompts
    }


def chat(ask: httpx.Client, messages: Json) -> Answer:
    body = posted(
        ask,
        "/v1/chat/completions",
        {
            "model": MODEL,
            "messages": messages,
            "temperature": 0,
            "max_tokens": 128,
            "return_token_ids": True,
            "logprobs": True,
            "top_logprobs": 20,
            "return_tokens_as_token_ids": True,
        },
    ).json()
    choice = body["choices"][0]
    return Answer(
        prompt_token_ids=body["prompt_token_ids"],
        token_ids=choice["token_ids"],
        steps=[
            {token_id(top): top["logprob"] for top in step["top_logprobs"]}
            for step in choice["logprobs"]["content"]
        ],
        reasoning=choice["message"]["reasoning"] or "",
        content=choice["message"]["content"] or "",
        finish_reason=choice["finish_reason"],
    )


def token_id(top: Json) -> int:
    return int(top["token"].removeprefix("token_id:"))


def states(ask: httpx.Client, token_ids: Sequence[int]) -> np.ndarray:
    """Hidden states of the tokens: float32 [n, width]."""
    body = {"model": MODEL, "input": token_ids, "task": "token_embed", "encoding_format": "bytes"}
    answer = posted(ask, "/pooling", body)
    shape = json.loads(answer.headers["metadata"])["data"][0]["shape"]
    return np.frombuffer(answer.content, np.float32).reshape(shape)


def posted(ask: httpx.Client, path: str, body: Json) -> httpx.Response:
    answer = ask.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer


# -- comparing --------------------------------------------------------------------------------


def unexplained(ours: Answer, theirs: Answer) -> str | None:
    """Say why the fork between two different outputs is no near tie; None if it is one.

    A near tie: at the first differing position each server lists both tokens, less than 0.5 nat apart.
    """
    shorter = min(len(ours.token_ids), len(theirs.token_ids))
    fork = next((i for i in range(shorter) if ours.token_ids[i] != theirs.token_ids[i]), None)
    if fork is None:
        return f"one output ends after {shorter} tokens, the other goes on"
    pair = ours.token_ids[fork], theirs.token_ids[fork]
    for name, answer in (("reference", ours), ("vLLM", theirs)):
        step = answer.steps[fork]
        if not all(token in step for token in pair):
            return f"token {fork}: {name} does not list both of {pair}"
        margin = abs(step[pair[0]] - step[pair[1]])
        if margin >= NEAR_TIE_NATS:
            return f"token {fork}: {pair} are {margin:.2f} nat apart on {name}"
    return None


@pytest.mark.parametrize(
    ("theirs", "verdict"),
    [
        ([{1: -0.1}, {2: -0.6, 3: -0.9}], None),
        ([{1: -0.1}, {2: -2.0, 3: -0.2}], "1.80 nat apart on vLLM"),
        ([{1: -0.1}, {3: -0.2, 4: -2.0}], "vLLM does not list both"),
    ],
)
def test_a_fork_is_explained_by_both_servers_margins(
    theirs: list[dict[int, float]], verdict: str | None
) -> None:
    left = Answer([0], [1, 2], [{1: -0.1}, {2: -0.7, 3: -0.8}], "", "", "stop")
    right = Answer([0], [1, 3], theirs, "", "", "stop")
    said = unexplained(left, right)
    assert said is None if verdict is None else verdict in str(said)


# -- what is compared -------------------------------------------------------------------------


def test_the_same_chat_makes_the_same_prompt(
    reference_answers: Mapping[str, Answer], vllm_answers: Mapping[str, Answer]
) -> None:
    assert len(vllm_answers) >= 40
    different = [
        name
        for name, theirs in vllm_answers.items()
        if reference_answers[name].prompt_token_ids != theirs.prompt_token_ids
    ]
    assert different == []


def test_token_ids_are_equal_but_for_near_ties(
    reference_answers: Mapping[str, Answer], vllm_answers: Mapping[str, Answer]
) -> None:
    pairs = {name: (reference_answers[name], theirs) for name, theirs in vllm_answers.items()}
    different = {name: pair for name, pair in pairs.items() if pair[0].token_ids != pair[1].token_ids}
    print(f"{len(pairs) - len(different)} of {len(pairs)} outputs are equal; not: {sorted(different)}")
    reasons = {name: unexplained(*pair) for name, pair in different.items()}
    assert {name: reason for name, reason in reasons.items() if reason is not None} == {}
    assert len(pairs) - len(different) >= EXACT_SHARE * len(pairs)


def test_equal_tokens_are_told_as_equal_text(
    reference_answers: Mapping[str, Answer], vllm_answers: Mapping[str, Answer]
) -> None:
    def told(answer: Answer) -> tuple[str, str, str]:
        return answer.reasoning, answer.content, answer.finish_reason

    equal = [n for n, theirs in vllm_answers.items() if reference_answers[n].token_ids == theirs.token_ids]
    assert {n: told(reference_answers[n]) for n in equal} == {n: told(vllm_answers[n]) for n in equal}
    assert any(vllm_answers[n].reasoning and vllm_answers[n].content for n in equal)


def test_hidden_states_agree(
    reference: httpx.Client, vllm_answers: Mapping[str, Answer], checkpoint: Path
) -> None:
    sequences = [[*a.prompt_token_ids, *a.token_ids] for a in list(vllm_answers.values())[:5]]
    with vllm_server(checkpoint, pooling=True) as vllm:
        theirs = [states(vllm, ids) for ids in sequences]
    for ids, right in zip(sequences, theirs, strict=True):
        left = states(reference, ids)
        assert left.shape == right.shape == (len(ids), left.shape[1])
        lengths = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
        cosine = (left * right).sum(axis=1) / (lengths[0] * lengths[1])
        print(f"{len(ids)} positions: cosine mean {cosine.mean():.5f}, least {cosine.min():.5f}")
        assert cosine.mean() >= 0.99
        assert lengths[0].mean() == pytest.approx(lengths[1].mean(), rel=0.02)
