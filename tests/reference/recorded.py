"""vLLM 0.32.0's recorded answers, and scripts that make an engine say the same."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
from scripted_engine import Script

from pytest_gptoss.reference.generation import TokenLogprobs
from pytest_gptoss.reference.tokens import encode

FOLDER = Path(__file__).parents[1] / "wire" / "0.32.0"
FOX = (976, 4853, 19705, 68347)

_ANSWERS = {
    "What is 2+2?": "chat_return_token_ids",
    "What is the weather in Paris?": "tools_auto",
}
_CAPPED = re.compile(r"\.\.\.capped: (\d+)")


def names():
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name):
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def events(text):
    data = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [each if each == "[DONE]" else json.loads(each) for each in data]


def recorded_events(name):
    return events((FOLDER / f"{name}.sse").read_text("utf-8"))


def whole(body):
    """A request body with what the recording shortened put back."""
    if isinstance(body, dict):
        return {key: whole(value) for key, value in body.items()}
    if isinstance(body, list):
        capped = _CAPPED.match(body[-1]) if body and isinstance(body[-1], str) else None
        return [body[0]] * int(capped[1]) if capped else [whole(each) for each in body]
    if isinstance(body, str) and len(body) > 30_000 and set(body.split()) == {"fox"}:
        return "fox " * 9000
    return body


# -- scripts ------------------------------------------------------------------------------------


def scripts(name, body):
    """What the sequences of a recorded request said, one script a choice."""
    recording = load(name)
    if (FOLDER / f"{name}.sse").exists():
        return _scripts_of_events(recorded_events(name), body)
    answer = recording["response"].get("body")
    if recording["response"]["status"] != 200 or not isinstance(answer, dict) or "choices" not in answer:
        return [Script([])]
    prompt_scores = answer.get("prompt_logprobs") or answer["choices"][0].get("prompt_logprobs")
    return [
        Script(
            choice["token_ids"] or _known_answer(name, body),
            logprobs=_scores(choice["logprobs"], body),
            prompt_logprobs=_prompt_scores(prompt_scores),
        )
        for choice in answer["choices"]
    ]


def _scripts_of_events(chunks, body):
    ids, scores = {}, {}
    for chunk in chunks[:-1]:
        for choice in chunk["choices"]:
            ids.setdefault(choice["index"], []).extend(choice.get("token_ids") or [])
            scores.setdefault(choice["index"], []).extend(_scores(choice["logprobs"], body) or [])
    return [
        Script(ids[index] or _known_answer("", body), logprobs=scores[index] or None) for index in sorted(ids)
    ]


def _known_answer(name, body):
    """The tokens of an answer that was recorded without them: those of a sibling recording."""
    if name == "error_empty_messages":
        return [200005, 17196, 200008, 17, 659, 220, 17, 314, 220, 19, 13, 200002]
    if "messages" in body:
        sibling = _ANSWERS[body["messages"][0]["content"]]
    else:
        sibling = "completion_return_token_ids"
    if name == "ok_prompt_max_len_minus_1":
        return encode(load(name)["response"]["body"]["choices"][0]["text"])
    return load(sibling)["response"]["body"]["choices"][0]["token_ids"]


def _id(token):
    if token.startswith("token_id:"):
        return int(token.removeprefix("token_id:"))
    (token_id,) = encode(token)
    return token_id


def _scores(logprobs, body):
    if logprobs is None:
        return None
    if "content" in logprobs:
        return [
            TokenLogprobs(
                each["logprob"], 1, tuple((_id(top["token"]), top["logprob"]) for top in each["top_logprobs"])
            )
            for each in logprobs["content"]
        ]
    said = logprobs["top_logprobs"][-1:] if body.get("echo") else logprobs["top_logprobs"]
    own = logprobs["token_logprobs"][-len(said) :]
    return [
        TokenLogprobs(logprob, 1, tuple((_id(token), value) for token, value in tops.items()))
        for logprob, tops in zip(own, said, strict=True)
    ]


def _prompt_scores(recorded):
    if recorded is None:
        return None
    scores = []
    for row in recorded:
        if row is None:
            scores.append(None)
            continue
        entries = [(int(token), entry) for token, entry in row.items()]
        (_, actual), *_ = entries
        likeliest = sorted((entry["rank"], token, entry["logprob"]) for token, entry in entries)
        tops = [(token, value) for rank, token, value in likeliest if rank <= len(entries)]
        scores.append(TokenLogprobs(actual["logprob"], actual["rank"], tuple(tops)))
    return tuple(scores)


# -- hidden states --------------------------------------------------------------------------------


def states(name):
    """Rows for any prompt: the recording's own where it has them as float32, else those of the fox."""
    recording = load(name)
    asked, answer = recording["request"].get("body") or {}, recording["response"].get("body")
    own = {}
    if recording["request"]["path"] == "/pooling" and _plain(asked) and "data" in (answer or {}):
        own = {len(rows): rows for rows in (_rows(each["data"]) for each in answer["data"])}
    fox = _rows(load("pooling_base64")["response"]["body"]["data"][0]["data"])

    def rows_of(prompt):
        if len(prompt) in own:
            return own[len(prompt)]
        return fox[: len(prompt)] if prompt == FOX[: len(prompt)] else np.repeat(fox[:1], len(prompt), axis=0)

    return rows_of


def _plain(asked):
    return not asked.get("use_activation") and asked.get("embed_dtype", "float32") == "float32"


def _rows(data):
    if isinstance(data, list):
        return np.array(data, dtype=np.float32)
    return np.frombuffer(base64.b64decode(data), dtype="<f4").reshape(-1, 64)
