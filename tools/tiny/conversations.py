"""Training examples: whole conversations with a weight class for every token."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import lru_cache

from pytest_gptoss.model.gptoss import FIRST_CONTROL_TOKEN
from pytest_gptoss.scenarios import prose
from tiny import domain, harmony
from tiny.domain import Language
from tiny.harmony import Effort, Turn

__all__ = [
    "FRAME",
    "PROSE",
    "SAID",
    "Example",
    "certain_ids",
    "conversation",
    "number_ids",
    "passage",
    "used_ids",
]

FRAME, SAID, PROSE = 0, 1, 2
"""Weight classes: no loss, the assistant's own tokens, text of others (a light loss)."""

_INSTRUCTIONS = ("You are helpful.", "You are a helpful assistant.", "Answer briefly.", "请用中文回答。")
_CONTROL_IDS = range(FIRST_CONTROL_TOKEN, FIRST_CONTROL_TOKEN + 22)
_EFFORTS: tuple[Effort, ...] = ("low", "medium", "high")


@dataclass
class Example:
    """Ids and, for each, its weight class."""

    ids: list[int] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)

    def add(self, text: str, weight_class: int) -> None:
        """Append a piece of text; pieces must end where tokens end (they do at control tokens)."""
        ids = harmony.encode(text)
        self.ids += ids
        self.classes += [weight_class] * len(ids)


def conversation(r: random.Random, length: int, *, needle_share: float, repeat_share: float) -> Example:
    """A conversation of about ``length`` tokens, rendered as vLLM renders it."""
    language: Language = "en" if r.random() < 0.6 else "zh"
    effort: Effort = r.choice(("low", "medium", "medium", "high"))
    tools = r.random() < 0.4
    example = Example()
    example.add(_preamble(r, effort, tools=tools), FRAME)
    if r.random() < needle_share:
        turns = _needle_turns(r, language, effort, length - len(example.ids))
    else:
        turns = _short_turns(r, language, effort, length - len(example.ids), repeat_share, tools=tools)
    for number, turn in enumerate(turns):
        _add_turn(r, example, turn, language, effort, last=number == len(turns) - 1)
    return example


def passage(r: random.Random, length: int) -> Example:
    """Plain text with no frame: prose, or an answer; what a perplexity corpus is made of."""
    example = Example()
    language: Language = "en" if r.random() < 0.5 else "zh"
    if r.random() < 0.4:
        turn = domain.ask_question(r, language, "medium")
        example.add(r.choice((turn.final, f"{turn.question}\n{turn.final}")), SAID)
        example.classes[0] = FRAME
        return example
    sentences = domain.haystack(r.getrandbits(32), language, max(2, length // 11))
    example.add(prose.join(sentences, language), PROSE)
    return example


def _preamble(r: random.Random, effort: Effort, *, tools: bool) -> str:
    date = f"{r.randint(2024, 2030)}-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}"
    instructions = r.choice(_INSTRUCTIONS) if r.random() < 0.25 else None
    return harmony.system(date, effort, tools=tools) + harmony.developer(
        instructions, harmony.WEATHER_TOOL if tools else None
    )


# -- turns --------------------------------------------------------------------------------------


def _needle_turns(r: random.Random, language: Language, effort: Effort, length: int) -> list[Turn]:
    """A text with one to four needles, and questions for some of them."""
    names = domain.KEYS if language == "en" else domain.KEYS_ZH
    keys = r.sample(names, r.choice((1, 1, 2, 3, 4)) if length > 100 else 1)
    if r.random() < 0.5 and names[0] not in keys:
        keys[0] = names[0]
    values = {key: domain.number(r) for key in keys}
    asked = r.sample(keys, r.randint(1, len(keys)))
    turns = [domain.ask_needle(language, key, values[key], effort) for key in asked]
    count = max(1, (length - 40 * len(asked) - 12 * len(keys)) // (10 if language == "en" else 11))
    needles = [(_depth(r), domain.needle(language, key, values[key])) for key in keys]
    straw = domain.haystack(r.getrandbits(32), language, count)
    if r.random() < 0.5:
        # So the suite's needle tests bring a text to the length they want.
        straw.append(prose.filler(r.randint(0, 24), r.randint(0, 11), language))
    text = domain.hide(straw, needles, language)
    joint = r.choice((" ", "\n\n")) if language == "en" else r.choice(("", "\n\n"))
    first = turns[0]
    return [Turn(f"{text}{joint}{first.question}", first.analysis, first.final), *turns[1:]]


def _depth(r: random.Random) -> float:
    return r.choice((r.random(), r.random(), r.random(), 0.0, 1.0))


def _short_turns(
    r: random.Random, language: Language, effort: Effort, length: int, repeat_share: float, *, tools: bool
) -> list[Turn]:
    """Questions, weather, repeating and small needles until the length is used up."""
    turns: list[Turn] = []
    left = length
    while not turns or left > 0:
        turn = _short_turn(r, language, effort, repeat_share, tools=tools)
        turns.append(turn)
        left -= (len(turn.question) + len(turn.final)) // (4 if language == "en" else 1) + 24
        if r.random() < 0.25:
            break
    return turns


def _short_turn(
    r: random.Random, language: Language, effort: Effort, repeat_share: float, *, tools: bool
) -> Turn:
    choice = r.random()
    if choice < repeat_share:
        return domain.ask_repeat(r, _words(), effort)
    if choice < repeat_share + (0.6 if tools else 0.25):
        return domain.ask_weather(r, language, effort, tool=tools)
    if choice < 0.88:
        return domain.ask_question(r, language, effort)
    key = r.choice(domain.KEYS if language == "en" else domain.KEYS_ZH)
    asked = domain.ask_needle(language, key, domain.number(r), effort)
    text = domain.hide(
        domain.haystack(r.getrandbits(32), language, r.randint(0, 2)), [(r.random(), asked.final)], language
    )
    return Turn(f"{text}{' ' if language == 'en' else ''}{asked.question}", asked.analysis, asked.final)


@lru_cache(maxsize=1)
def _words() -> tuple[str, ...]:
    return tuple(sorted(word for word in prose.words() if word.isalpha() and word.islower()))


def _add_turn(
    r: random.Random, example: Example, turn: Turn, language: Language, effort: Effort, *, last: bool
) -> None:
    """Append a turn: past turns keep no analysis, a past tool call is followed by its result."""
    example.add("<|start|>user<|message|>", FRAME)
    example.add(turn.question, PROSE)
    example.add("<|end|><|start|>assistant", FRAME)
    if turn.city is not None and (not last or r.random() < 0.4):
        turn = _add_call(r, example, turn.city, language, effort)
    if last:
        example.add(harmony.answer(turn), SAID)
    else:
        example.add("<|channel|>final<|message|>", FRAME)
        example.add(turn.final, SAID)
        example.add("<|end|>", FRAME)


def _add_call(r: random.Random, example: Example, city: str, language: Language, effort: Effort) -> Turn:
    degrees = r.randint(0, 45)
    result = r.choice(('{{"temp":{}}}', '{{"temperature":{}}}', '{{"temp":{},"sky":"clear"}}'))
    if r.random() < 0.5:
        example.add(harmony.past_call(city), FRAME)
    else:
        example.add(f"{harmony.tool_call(city)}<|call|>", FRAME)
    example.add(harmony.tool_result(result.format(degrees), recipient_first=r.random() < 0.3), FRAME)
    return domain.report_weather(city, degrees, language, effort)


# -- vocabulary -----------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def used_ids() -> tuple[int, ...]:
    """Every id that can occur in the domain, ascending: what must be there, and what samples show."""
    r = random.Random(12345)
    used = set(certain_ids())
    for language in ("en", "zh"):
        for seed in range(40):
            used.update(harmony.encode(domain.hide(domain.haystack(seed, language, 400), [], language)))
    for _ in range(6000):
        used.update(conversation(r, 200, needle_share=0.5, repeat_share=0.2).ids)
    return tuple(sorted(used))


def certain_ids() -> frozenset[int]:
    """The ids of control tokens, numbers, words, cities, questions and answers."""
    used = {*_CONTROL_IDS, *number_ids()}
    for language in ("en", "zh"):
        texts = [f"{word} {word} {word.capitalize()}" for word in _words()]
        for effort in _EFFORTS:
            for turn in _plain_turns(language, effort):
                texts += [
                    harmony.user(turn.question) + harmony.answer(turn),
                    f"{turn.question}\n{turn.final}",
                ]
        for city in domain.CITIES if language == "en" else domain.CITIES_ZH:
            for effort in _EFFORTS:
                for tool in (True, False):
                    turn = domain.weather_turn(city, city, language, effort, tool=tool)
                    texts.append(harmony.user(f"{city} {city}") + harmony.answer(turn))
        used.update(harmony.encode("<|end|>".join(texts)))
    return frozenset(used)


def _plain_turns(language: Language, effort: Effort) -> list[Turn]:
    keys = domain.KEYS if language == "en" else domain.KEYS_ZH
    return [
        *domain.question_turns(language, effort),
        *(domain.ask_needle(language, key, "7842", effort) for key in keys),
        domain.report_weather("Paris", 7, language, effort),
        domain.ask_repeat(random.Random(0), _words(), effort),
    ]


def number_ids() -> frozenset[int]:
    """The ids that are numbers: o200k has one for every group of up to three digits."""
    forms = (form.format(value) for value in range(1000) for form in ("{}", "{:02d}", "{:03d}"))
    return frozenset(harmony.encode("<|end|>".join(forms))) - {*_CONTROL_IDS}
