"""What the tiny checkpoint is taught: questions, needles, the weather, repeating; with their analyses."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeAlias

from pytest_gptoss.scenarios import prose
from tiny import questions, questions_zh
from tiny.harmony import Effort, Turn

__all__ = [
    "CITIES",
    "CITIES_ZH",
    "KEYS",
    "KEYS_ZH",
    "Language",
    "ask_needle",
    "ask_question",
    "ask_repeat",
    "ask_weather",
    "haystack",
    "hide",
    "needle",
    "number",
    "question_turns",
    "report_weather",
]

Language: TypeAlias = Literal["en", "zh"]

KEYS = (
    "secret code",
    "magic number",
    "door code",
    "lucky number",
    "ticket number",
    "room number",
    "safe code",
    "phone code",
)
KEYS_ZH = ("秘密代码", "幸运数字", "门锁密码", "房间号码", "车票号码", "电话号码")


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CITIES = _list("Paris London Berlin Rome Madrid Vienna Tokyo Cairo Moscow Boston Sydney Oslo")
CITIES_ZH = _list("北京 上海 广州 深圳 杭州 南京 武汉 成都")

_WEATHER = (
    "What is the weather in {}?",
    "How is the weather in {}?",
    "Tell me the weather in {}.",
    "What is the weather in {} today?",
)
_WEATHER_ZH = ("{}的天气怎么样？", "{}今天天气怎么样？")


@dataclass(frozen=True, slots=True)
class _Words:
    """The sentences around a task in one language."""

    needle: str
    question: str
    look: tuple[str, str, str]
    know: tuple[str, str, str]


_EN = _Words(
    needle="The {key} is {value}.",
    question="What is the {key}?",
    look=(
        "Find the {key}.",
        "I will look for the {key} in the text.",
        "The user wants to know the {key}. I will look for the {key} in the text from start to end, "
        "and then I will answer with the number that stands there.",
    ),
    know=(
        "Easy.",
        "This is a question that I know.",
        'The user writes: "{question}" This is a question that I know. I will think about it first and '
        "then give a short and clear answer.",
    ),
)
_ZH = _Words(
    needle="{key}是{value}。",
    question="{key}是什么？",
    look=(
        "找{key}。",
        "我要在文章里找{key}。",
        "用户想知道{key}。我要在文章里从头到尾找{key}，然后用文章里的数字回答。",
    ),
    know=(
        "很简单。",
        "这个问题我知道。",
        "用户写道：“{question}”这个问题我知道。我先想一想，然后给出简短清楚的回答。",
    ),
)
_WORDS: dict[Language, _Words] = {"en": _EN, "zh": _ZH}
_EFFORTS: tuple[Effort, ...] = ("low", "medium", "high")


def question_turns(language: Language, effort: Effort) -> list[Turn]:
    """Every question of the language with what is to be answered at that effort."""
    pairs = questions.QUESTIONS if language == "en" else questions_zh.QUESTIONS
    analysis = _WORDS[language].know[_EFFORTS.index(effort)]
    return [Turn(question, analysis.format(question=question), final) for question, final in pairs]


def ask_question(r: random.Random, language: Language, effort: Effort) -> Turn:
    """One of the questions the checkpoint knows."""
    return r.choice(question_turns(language, effort))


# -- needles ----------------------------------------------------------------------------------


def number(r: random.Random) -> str:
    """A code: mostly four digits, else two to seven."""
    length = 4 if r.random() < 0.7 else r.randint(2, 7)
    return "".join(r.choice("0123456789") for _ in range(length))


def needle(language: Language, key: str, value: str) -> str:
    """The sentence that hides a value."""
    return _WORDS[language].needle.format(key=key, value=value)


def ask_needle(language: Language, key: str, value: str, effort: Effort) -> Turn:
    """The question for a hidden value and its answer."""
    words = _WORDS[language]
    analysis = words.look[_EFFORTS.index(effort)].format(key=key)
    return Turn(words.question.format(key=key), analysis, words.needle.format(key=key, value=value))


def haystack(seed: int, language: Language, count: int) -> list[str]:
    """``count`` sentences of prose."""
    return list(islice(prose.sentences(seed, language), count))


def hide(sentences: Sequence[str], needles: Sequence[tuple[float, str]], language: Language) -> str:
    """The sentences as one text with each needle at its depth (0 to 1, by sentences)."""
    mixed = list(sentences)
    for depth, sentence in sorted(needles, reverse=True):
        mixed.insert(round(depth * len(sentences)), sentence)
    return prose.join(mixed, language)


# -- the weather, repeating ---------------------------------------------------------------------


def ask_weather(r: random.Random, language: Language, effort: Effort, *, tool: bool) -> Turn:
    """A question for the weather: a call where the tool is declared, else a refusal that names the city."""
    city = r.choice(CITIES if language == "en" else CITIES_ZH)
    question = r.choice(_WEATHER if language == "en" else _WEATHER_ZH).format(city)
    return weather_turn(question, city, language, effort, tool=tool)


def weather_turn(question: str, city: str, language: Language, effort: Effort, *, tool: bool) -> Turn:
    """What is answered when the weather in ``city`` was asked."""
    level = _EFFORTS.index(effort)
    if language == "en":
        final = f"I cannot look up the weather in {city} because I was given no weather tool. " + (
            "Please declare one and ask me again."
        )
        thought = f"The weather in {city} needs " + (
            "the weather tool." if tool else "the weather tool, and I was given no weather tool."
        )
        thoughts = ("Weather.", thought, f"{thought} So I know what to do next.")
    else:
        final = f"{city}的天气我查不到。没有天气工具，请先提供工具，然后再问我一次。"
        thought = f"{city}的天气" + ("要用天气工具查。" if tool else "没有工具可以查。")
        thoughts = ("天气。", thought, f"{thought}现在我知道该怎么做了。")
    return Turn(question, thoughts[level], final, city if tool else None)


def report_weather(city: str, degrees: int, language: Language, effort: Effort) -> Turn:
    """What is answered once the tool has said how warm it is; there is no question."""
    level = _EFFORTS.index(effort)
    if language == "en":
        known = "The tool has answered."
        thoughts = ("Done.", known, f"{known} I will answer with the weather in {city}.")
        return Turn(
            "", thoughts[level], f"The weather in {city}: {degrees} degrees, as the weather tool says."
        )
    known = "工具已经回答了。"
    return Turn(
        "", ("好了。", known, f"{known}现在我可以回答了。")[level], f"{city}现在是{degrees}度，天气工具说。"
    )


def ask_repeat(r: random.Random, words: Sequence[str], effort: Effort) -> Turn:
    """Words and numbers in no order, to be said again: the plainest use of looking back."""
    said = " ".join(r.choice(words) if r.random() < 0.5 else number(r) for _ in range(r.randint(2, 14)))
    analysis = ("Repeat.", "I repeat the words.", "The user wants me to repeat the words, and I repeat them.")
    return Turn(f"Repeat after me: {said}", analysis[_EFFORTS.index(effort)], said)
