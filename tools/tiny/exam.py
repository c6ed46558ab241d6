"""The fixed prompts the checkpoint is examined on, with the answers it was taught."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from tiny import domain, harmony
from tiny.domain import Language
from tiny.harmony import Effort, Turn

__all__ = ["DATE", "DEPTHS", "KINDS", "Task", "needle_task", "tasks"]

DATE = "2026-01-01"
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
KINDS = (
    "question, English",
    "question, Chinese",
    "low effort",
    "high effort",
    "dialogue of two turns",
    "dialogue of three turns",
    "weather, tool declared",
    "weather, no tool",
    "weather, tool has answered",
    "needle in a short text",
)
_LANGUAGES: tuple[Language, ...] = ("en", "zh")


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt and the answer taught for it, as ids. ``code`` is what a needle's answer must hold."""

    kind: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    code: str = ""


def tasks() -> list[Task]:
    """Every question and a sample of all else, the same at every call."""
    return list(_tasks(random.Random(2026)))


def _tasks(r: random.Random) -> Iterator[Task]:
    for kind, language in zip(KINDS[:2], _LANGUAGES, strict=True):
        for turn in domain.question_turns(language, "medium"):
            yield _task(kind, [turn])
    levels: tuple[tuple[str, Effort], ...] = (("low effort", "low"), ("high effort", "high"))
    for language in _LANGUAGES:
        asked = r.sample(range(len(domain.question_turns(language, "medium"))), 4)
        for kind, effort in levels:
            for number in asked:
                yield _task(kind, [domain.question_turns(language, effort)[number]], effort=effort)
    for kind, length in (("dialogue of two turns", 2), ("dialogue of three turns", 3)):
        for language in _LANGUAGES:
            for _ in range(4):
                yield _task(kind, r.sample(domain.question_turns(language, "medium"), length))
    yield from _weather(r)
    for language in _LANGUAGES:
        for tokens in (200, 500, 900, 1500):
            yield needle_task(r, language, tokens, r.random(), kind="needle in a short text")


def _weather(r: random.Random) -> Iterator[Task]:
    asked: tuple[tuple[Language, str, list[str]], ...] = (
        ("en", "What is the weather in {}?", r.sample(domain.CITIES, 6)),
        ("zh", "{}的天气怎么样？", r.sample(domain.CITIES_ZH, 6)),
    )
    for language, form, cities in asked:
        for city in cities:
            question = form.format(city)
            called = domain.weather_turn(question, city, language, "medium", tool=True)
            yield _task("weather, tool declared", [called], tools=True)
            yield _task(
                "weather, no tool", [domain.weather_turn(question, city, language, "medium", tool=False)]
            )
            degrees = r.randint(0, 45)
            told = domain.report_weather(city, degrees, language, "medium")
            result = harmony.tool_result(f'{{"temp":{degrees}}}', recipient_first=False)
            frame = _frame("medium", tools=True) + harmony.user(question) + harmony.past_call(city) + result
            yield _encoded("weather, tool has answered", frame, told)


def needle_task(
    r: random.Random, language: Language, tokens: int, depth: float, *, kind: str = "needle"
) -> Task:
    """A secret code at ``depth`` of a text that makes a prompt of about ``tokens`` ids, never more."""
    keys = domain.KEYS if language == "en" else domain.KEYS_ZH
    value = "".join(r.choice("0123456789") for _ in range(4))
    turn = domain.ask_needle(language, keys[0], value, "medium")
    sentences = domain.haystack(r.getrandbits(32), language, tokens // 6)
    frame = _frame("medium", tools=False)
    room = tokens - len(harmony.encode(frame + harmony.user(turn.question) + turn.final)) - 4
    kept = _fitting(sentences, room, language)
    text = domain.hide(sentences[:kept], [(depth, turn.final)], language)
    joint = " " if language == "en" else ""
    prompt = frame + harmony.user(f"{text}{joint}{turn.question}")
    return _encoded(kind, prompt, turn, code=value)


def _fitting(sentences: list[str], room: int, language: Language) -> int:
    """How many of the sentences fit into ``room`` tokens."""
    kept, size = len(sentences), room + 1
    while kept and size > room:
        size = len(harmony.encode(domain.hide(sentences[:kept], [], language)))
        kept = kept if size <= room else min(kept - 1, kept * room // size)
    return kept


def _task(kind: str, turns: list[Turn], *, effort: Effort = "medium", tools: bool = False) -> Task:
    prompt = _frame(effort, tools=tools)
    for turn in turns[:-1]:
        prompt += harmony.user(turn.question) + f"<|channel|>final<|message|>{turn.final}<|end|>"
    return _encoded(kind, prompt + harmony.user(turns[-1].question), turns[-1])


def _frame(effort: Effort, *, tools: bool) -> str:
    return harmony.system(DATE, effort, tools=tools) + harmony.developer(
        None, harmony.WEATHER_TOOL if tools else None
    )


def _encoded(kind: str, prompt: str, turn: Turn, *, code: str = "") -> Task:
    return Task(kind, harmony.encode(prompt), harmony.encode(harmony.answer(turn)), code)
