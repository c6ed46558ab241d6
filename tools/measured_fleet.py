"""What nodes of a fleet come to by rounding and by faults, measured once for ``benchmarks/fleet.py``.

    python tools/measured_fleet.py chat MODEL_DIR tests/judge/data/fleet_chat.npz
    python tools/measured_fleet.py tiny STATE tests/judge/data/fleet_tiny.npz

A variant is one way to compute the same model. ``chat``: the chat model of ``tools/chat_model.py`` in
transformers, its weights in bfloat16, computed in float32 with what each matrix product and norm gives
rounded to bfloat16, as hardware that adds in float32 does it (``products``); with what attention, MLP and
layers give rounded, as fused kernels do it (``blocks``); with both and another attention kernel (``eager``);
and as the first with weights of 6 bits. ``tiny``: the tiny checkpoint in bfloat16 on real vLLM
(``vllm``), on the reference server (``reference``), there with weights of 6 bits, and with ``zero-expert``;
STATE is the folder of one version in the ``--state`` of ``benchmarks/sensitivity.py``.

Passages and answers are scored under teacher forcing by every variant; the answers are greedy ones of the
first. What is stored:

``lengths`` of the passages in tokens, ``difference.VARIANT`` [tokens]: log-probabilities less those of the
first variant, nats. ``answers``: tokens of each answer. ``place`` [m, 2]: answer and position where the
likeliest token of some variant is not the one that was generated; ``token`` [m]: that one; ``ids.VARIANT``,
``logprobs.VARIANT`` [m, 5]: the likeliest there. ``table`` [k, 20]: log-probabilities of the likeliest tokens
at places of the answers, ``other`` [k]: that of any token of the vocabulary there (of the least likely of 20,
from a server).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from detection.checkpoints import DAMAGES
from measured_errors import scores

from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.http import VllmClient
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.results import ScoredSequence
from pytest_gptoss.run.store import Store
from pytest_gptoss.scenarios import corpus, prompts
from pytest_gptoss.scenarios.kinds import Forced, Greedy
from pytest_gptoss.scenarios.round_robin import round_robin
from pytest_gptoss.servers.embedded import start_reference

__all__ = ["main"]

SEQUENCES, LENGTH = 12, 192
ANSWERS, ANSWER_TOKENS = 16, 160
TOP, LISTED, TABLE = 5, 20, 400
PRODUCTS = ("_proj", "norm", "embed_tokens")
BLOCKS = ("self_attn", "mlp", "embed_tokens", *(f"layers.{number}" for number in range(30)))
TEXTS = Path(__file__).resolve().parents[1] / "fixtures" / "corpus" / "texts"


@dataclass(frozen=True, slots=True)
class Scores:
    """One sequence under one variant: of each token its log-probability, the likeliest, and any other's."""

    logprobs: np.ndarray
    ids: np.ndarray
    top: np.ndarray
    other: np.ndarray


Scored: TypeAlias = Mapping[str, Sequence[Scores]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("which", choices=("chat", "tiny"))
    parser.add_argument("source", type=Path, help="the chat model's folder, or STATE")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    document = _chat(options.source) if options.which == "chat" else _tiny(options.source)
    np.savez_compressed(options.output, **document)
    return 0


def _document(passages: Scored, answers: Scored, given: Sequence[Sequence[int]]) -> dict[str, Any]:
    first, *_ = passages
    whole = {name: np.concatenate([each.logprobs for each in rows]) for name, rows in passages.items()}
    found: dict[str, Any] = {
        f"difference.{name}": (row - whole[first]).astype(np.float16) for name, row in whole.items()
    }
    found["lengths"] = np.array([len(each.logprobs) for each in passages[first]], dtype=np.int32)
    found["answers"] = np.array([len(each) for each in given], dtype=np.int32)
    places = [
        (number, at)
        for number, tokens in enumerate(given)
        for at, token in enumerate(tokens)
        if any(rows[number].ids[at, 0] != token for rows in answers.values())
    ]
    found["place"] = np.array(places, dtype=np.int32).reshape(-1, 2)
    found["token"] = np.array([given[number][at] for number, at in places], dtype=np.int32)
    for name, rows in answers.items():
        found[f"ids.{name}"] = np.array([rows[number].ids[at, :TOP] for number, at in places], dtype=np.int32)
        found[f"logprobs.{name}"] = np.array(
            [rows[number].top[at, :TOP] for number, at in places], dtype=np.float16
        )
    table = np.concatenate([each.top for each in answers[first]])
    other = np.concatenate([each.other for each in answers[first]])
    drawn = np.random.default_rng(0).choice(len(table), min(TABLE, len(table)), replace=False)
    found["table"], found["other"] = table[drawn].astype(np.float16), other[drawn].astype(np.float16)
    return found


# -- the chat model, in transformers -------------------------------------------------------------


def _chat(folder: Path) -> dict[str, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)  # several wait for each other on a busy machine
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = "left"

    def model(kernel: str, rounded: Sequence[str], damage: str | None = None) -> Any:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=kernel
        )
        if damage:
            tensors = dict(loaded.state_dict())
            DAMAGES[damage](tensors)
            loaded.load_state_dict(tensors)
        _round(loaded, rounded)
        return loaded

    variants: Mapping[str, Callable[[], Any]] = {
        "products": lambda: model("sdpa", PRODUCTS),
        "blocks": lambda: model("sdpa", BLOCKS),
        "eager": lambda: model("eager", (*PRODUCTS, *BLOCKS)),
        "weights-6bit": lambda: model("sdpa", PRODUCTS, "weights-6bit"),
    }
    texts = _pieces(tokenizer)
    asked, given = _chat_answers(variants["products"](), tokenizer)
    whole = [(*prompt, *answer) for prompt, answer in zip(asked, given, strict=True)]
    passages, answers = {}, {}
    with torch.inference_mode():
        for name, load in variants.items():
            print(name, flush=True)
            loaded: Any = load()
            passages[name] = [_scores(_logits(loaded, row), row, 1) for row in texts]
            answers[name] = [
                _scores(_logits(loaded, row), row, len(prompt))
                for row, prompt in zip(whole, asked, strict=True)
            ]
    return _document(passages, answers, given)


def _round(model: Any, endings: Sequence[str]) -> None:
    """Round the output of every module whose name ends so to bfloat16."""

    def rounded(module: Any, given: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (output[0].bfloat16().float(), *output[1:])
        return output.bfloat16().float()

    for name, module in model.named_modules():
        if name.endswith(tuple(endings)):
            module.register_forward_hook(rounded)


def _pieces(tokenizer: Any) -> list[list[int]]:
    """As many pieces of each shipped text."""
    files = [TEXTS / name for name in ("english.txt", "code.txt")]
    each = SEQUENCES // len(files)
    ids = [tokenizer(path.read_text("utf-8"), add_special_tokens=False)["input_ids"] for path in files]
    return [
        row[start * LENGTH : start * LENGTH + LENGTH + 1]
        for row in ids
        for start in range(each)
        if len(row) > start * LENGTH + LENGTH
    ]


def _chat_answers(model: Any, tokenizer: Any) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts and greedy answers, each to its own end."""
    chosen = round_robin(prompts.load_shipped("default").prompts)[:ANSWERS]
    texts = [
        tokenizer.apply_chat_template(
            [{"role": each.role, "content": each.content} for each in prompt.messages],
            add_generation_prompt=True,
            tokenize=False,
        )
        for prompt in chosen
    ]
    padded = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.inference_mode():
        found = model.generate(
            **padded, max_new_tokens=ANSWER_TOKENS, do_sample=False, pad_token_id=tokenizer.pad_token_id
        )
    asked = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    end = tokenizer.eos_token_id
    given = [_ended(row[padded["input_ids"].shape[1] :].tolist(), end) for row in found]
    print("answers of", *(len(each) for each in given), "tokens", flush=True)
    return asked, given


def _ended(answer: list[int], end: int) -> list[int]:
    """The answer up to its first end, that included."""
    return answer[: answer.index(end) + 1] if end in answer else answer


def _logits(model: Any, row: Sequence[int]) -> torch.Tensor:
    found: torch.Tensor = model(torch.tensor([list(row)])).logits[0]
    return found


def _scores(logits: torch.Tensor, row: Sequence[int], first: int) -> Scores:
    """Scores of the tokens from ``first`` on."""
    logprobs = torch.log_softmax(logits[first - 1 : len(row) - 1].float(), dim=-1)
    wanted = torch.tensor(list(row[first:]))[:, None]
    top, ids = logprobs.topk(LISTED)
    dice = torch.Generator().manual_seed(first)
    anyone = torch.randint(logprobs.shape[1], (len(logprobs), 1), generator=dice)
    return Scores(
        logprobs.gather(1, wanted)[:, 0].numpy(),
        ids.numpy(),
        top.numpy(),
        logprobs.gather(1, anyone)[:, 0].numpy(),
    )


# -- the tiny checkpoint, on reference servers ----------------------------------------------------


def _tiny(state: Path) -> dict[str, Any]:
    """Three servers from the runs of ``benchmarks/sensitivity.py``, a fourth is asked now."""
    sound, bits = (Store(state / f"reference-{name}" / "run") for name in ("sound", "weights-6bit"))
    devices = {"vllm": (sound, "gpu"), "reference": (sound, "npu"), "weights-6bit": (bits, "npu")}
    texts = {name: scores(store, Forced(device)) for name, (store, device) in devices.items()}
    given = {
        name: scores(store, Forced(device, "gpu", outputs=Greedy("gpu")))
        for name, (store, device) in devices.items()
    }
    drawn = [each.id for each in round_robin(corpus.load_shipped("embedded").sequences)]
    chosen = [each for each in drawn if each in texts["vllm"]][:SEQUENCES]
    answers = list(given["vllm"])[:ANSWERS]
    lost = asyncio.run(
        _asked([texts["vllm"][each] for each in chosen], [given["vllm"][each] for each in answers])
    )
    return _document(
        {
            **{name: [_told(each[key]) for key in chosen] for name, each in texts.items()},
            "zero-expert": lost[0],
        },
        {
            **{name: [_told(each[key]) for key in answers] for name, each in given.items()},
            "zero-expert": lost[1],
        },
        [given["vllm"][each].token_ids[given["vllm"][each].first :] for each in answers],
    )


async def _asked(*parts: Sequence[ScoredSequence]) -> list[list[Scores]]:
    """The same sequences, scored by a reference server that has lost an expert."""
    server = start_reference("tiny", "bfloat16", defect="zero-expert", ready_timeout=600)
    try:
        async with VllmClient(Endpoint.parse(server.url), role="npu") as client:
            return [
                [
                    _told(
                        await client.score(
                            TokenSequence(each.sequence_id, each.token_ids, each.first), top=LISTED
                        )
                    )
                    for each in part
                ]
                for part in parts
            ]
    finally:
        server.stop()


def _told(scored: ScoredSequence) -> Scores:
    return Scores(scored.logprobs, scored.top.ids, scored.top.logprobs, scored.top.logprobs[:, -1])


if __name__ == "__main__":
    sys.exit(main())
