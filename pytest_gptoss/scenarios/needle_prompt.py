"""Prompts with a needle in a haystack, exact to the token.

A prompt is sentences of seeded prose, the needle between two of them, and the question at the end. How
many tokens a text has only the server knows, so every function here that needs it is given a ``count``;
what comes between is estimated and corrected by counting, a handful of times whatever the length.
"""

from __future__ import annotations

import hashlib
import string
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from pytest_gptoss.model.errors import DialectError, MiscountError
from pytest_gptoss.model.gptoss import CONTEXT
from pytest_gptoss.model.inputs import NeedleTask
from pytest_gptoss.model.message import say
from pytest_gptoss.scenarios import prose
from pytest_gptoss.scenarios.kinds import Needle

__all__ = [
    "ANSWER_TOKENS",
    "REASONING_TOKENS",
    "RESERVE",
    "Buried",
    "Count",
    "bury",
    "code_of",
    "needle_with",
    "opening",
    "planned_tokens",
    "seed_of",
]

REASONING_TOKENS = 768
"""Room for the analysis, so that a long one does not eat the answer."""
ANSWER_TOKENS = 256
"""Room for the final answer."""
RESERVE = REASONING_TOKENS + ANSWER_TOKENS

MAX_COUNTS = 40
"""Counts of one prompt before it is given up; sound tokenizers take about six."""
FAR_OFF = 64
"""A third count that is wrong by more tokens than this, and by a tenth, will not come right."""
MAX_FILL = 24
"""Most words that one sentence of the haystack is made longer by."""
TURNS = 6
"""Wordings of that sentence."""
SAMPLE = 40
"""Sentences that tell how many tokens a unit of text has."""
SURPLUS = 1.03
"""How much longer than wanted a text is made that only has to be long enough."""

Count: TypeAlias = Callable[[str], Awaitable[int]]
"""Prompt tokens, the chat frame included, of one user message with that text."""


@dataclass(frozen=True, slots=True)
class Buried:
    """A prompt's text. ``depth`` is where the needle starts, in tokens of the haystack, from 0 to 1."""

    text: str
    tokens: int
    depth: float


def planned_tokens(length: int) -> int:
    """Prompt tokens of a cell: its length, but never the room that the answer needs."""
    return min(length, CONTEXT - RESERVE)


def seed_of(task: NeedleTask, scenario: Needle, trial: int) -> int:
    """A haystack's seed: a cell and its control share it, and no two cells or trials do."""
    name = f"{task.seed}/{scenario.cell}/{trial}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def code_of(task: NeedleTask, trial: int) -> str:
    """The code a trial hides: the expected answer in the first, then random ones of the same form.

    Digits stay digits and ASCII letters letters of their case. Every code differs from the expected answer.
    """
    if trial == 0:
        return task.expect
    source = Random(f"{task.seed}/{trial}")  # noqa: S311 - a seeded draw, no secret
    code = task.expect
    while code == task.expect:
        code = "".join(_drawn(char, source) for char in task.expect)
    return code


def needle_with(task: NeedleTask, code: str) -> str:
    """The needle with ``code`` in the place of the expected answer, which is the last that stands there."""
    before, _, after = task.needle.rpartition(task.expect)
    return f"{before}{code}{after}"


async def opening(task: NeedleTask, tokens: int, *, seed: int, count: Count) -> str:
    """Haystack prose from its beginning on, in the task's language, of at least ``tokens`` tokens.

    ``count`` tells the tokens of a text alone, without a chat frame.
    """
    stock = _Stock(seed, prose.language_of(f"{task.needle}{task.question}"))
    rate = await count(stock.join(*stock.first(SAMPLE))) / stock.reach[SAMPLE]
    if rate <= 0:
        raise MiscountError(
            say("no tokens were counted in {sample} sentences: {advice}", sample=SAMPLE, advice=_ADVICE)
        )
    return stock.join(*stock.first(SAMPLE + stock.within(tokens * SURPLUS / rate)))


def _drawn(char: str, source: Random) -> str:
    for letters in (string.digits, string.ascii_lowercase, string.ascii_uppercase):
        if char in letters:
            return source.choice(letters)
    return char


@dataclass
class _Stock:
    """Sentences of one haystack, drawn as they are needed, with their estimated sizes.

    ``reach[k]`` is the size of the first k sentences in units: words in English, characters in Chinese.
    """

    seed: int
    language: str
    sentences: list[str] = field(default_factory=list)
    reach: list[float] = field(default_factory=lambda: [0.0])

    def __post_init__(self) -> None:
        self._source = prose.sentences(self.seed, self.language)

    def first(self, kept: int) -> list[str]:
        self._draw(lambda: len(self.sentences) >= kept)
        return self.sentences[:kept]

    def within(self, units: float) -> int:
        """How many sentences have no more than ``units`` together."""
        self._draw(lambda: self.reach[-1] > units)
        return max(0, bisect_right(self.reach, units) - 1)

    def size(self, text: str) -> int:
        return len(text) if self.language == "zh" else len(text.split()) + 1

    def filler(self, words: int, turn: int = 0) -> str:
        return prose.filler(words, turn, self.language)

    def join(self, *parts: str) -> str:
        return prose.join(parts, self.language)

    def _draw(self, enough: Callable[[], bool]) -> None:
        while not enough():
            sentence = next(self._source, None)
            if sentence is None:
                raise MiscountError(
                    say(
                        "all prose, {sentences} sentences, is too short for what is asked: {advice}",
                        sentences=len(self.sentences),
                        advice=_ADVICE,
                    )
                )
            self.sentences.append(sentence)
            self.reach.append(self.reach[-1] + self.size(sentence))


@dataclass(frozen=True, slots=True)
class _Layout:
    """``kept`` sentences and a filler of ``words`` words, the needle before sentence ``place``.

    Where no number of words gives the length, one of the filler's ``turn`` may.
    """

    kept: int
    words: int
    turn: int
    place: int


@dataclass
class _Fit:
    """The search for a layout of exactly so many tokens, and what has been learnt on the way.

    ``rate`` is tokens a unit; ``known`` tokens of frame, needle and question; ``counted`` what has been
    tried; ``drift`` by how much the last estimate of the needle's place was wrong.
    """

    stock: _Stock
    tokens: int
    known: int
    rate: float
    depth: float
    drift: float = 0.0
    counted: dict[_Layout, int] = field(default_factory=dict)

    @property
    def haystack(self) -> int:
        """Tokens of the haystack."""
        return self.tokens - self.known

    def estimate(self, layout: _Layout) -> float:
        """Expected tokens, by the difference to what was counted of the most similar layout."""
        plain = self._plain(layout)
        if not self.counted:
            return plain
        nearest = min(
            self.counted,
            key=lambda tried: (
                abs(tried.kept - layout.kept),
                abs(tried.words - layout.words),
                tried.turn != layout.turn,
            ),
        )
        return plain + self.counted[nearest] - self._plain(nearest)

    def _plain(self, layout: _Layout) -> float:
        units = self.stock.reach[layout.kept] + self.stock.size(self.stock.filler(0)) + layout.words
        return self.known + self.rate * units

    def next(self) -> _Layout:
        """The untried layout whose estimate is nearest to the wanted length.

        Raises MiscountError when none is left.
        """
        last = next(reversed(self.counted), None)
        wrong = 0.0 if last is None else self.counted[last] - self._plain(last)
        room = (self.haystack - wrong) / self.rate - self.stock.size(self.stock.filler(0))
        most = self.stock.within(room)
        candidates = [
            _Layout(kept, words, turn, self.place(kept))
            for turn in range(TURNS)
            for kept in range(most, max(-1, most - 6), -1)
            for words in range(MAX_FILL + 1)
        ]
        fresh = [each for each in candidates if each not in self.counted]
        if not fresh:
            raise MiscountError(
                say(
                    "no text of exactly {tokens} tokens was found: {advice}",
                    tokens=self.tokens,
                    advice=_ADVICE,
                )
            )
        return min(fresh, key=lambda each: (abs(self.estimate(each) - self.tokens), each.turn, each.words))

    def start(self, place: int) -> float:
        """Estimated tokens of the haystack before sentence ``place``."""
        return self.rate * self.stock.reach[place] + self.drift

    def place(self, kept: int) -> int:
        """Before which sentence the needle comes nearest to its depth."""
        if self.depth in (0, 1):
            return 0 if self.depth == 0 else kept + 1
        target = self.depth * self.haystack
        below = min(self.stock.within((target - self.drift) / self.rate), kept)
        # The last place is behind the filler, where the haystack ends.
        starts = {below: self.start(below)}
        starts[below + 1] = self.start(below + 1) if below < kept else self.haystack
        return min(starts, key=lambda place: abs(starts[place] - target))


_ADVICE = say("the server's counts do not follow the text; does it cut prompts short?")


async def bury(
    needle: str | None, question: str, *, depth: float, tokens: int, seed: int, count: Count
) -> Buried:
    """A prompt of exactly ``tokens`` tokens with the needle nearest to ``depth`` (0 to 1) of its haystack.

    The needle starts where a sentence would. Without one it is the control: the same haystack, filled up.
    Raises MiscountError when the counts do not lead to that length, DialectError when needle and question
    alone are longer, and whatever ``count`` raises.
    """
    stock = _Stock(seed, prose.language_of(f"{needle or ''}{question}"))
    frame = await count(question)
    ask = question if needle is None else stock.join(needle, question)
    known = frame if needle is None else await count(ask)
    sample = stock.join(*stock.first(SAMPLE), ask)
    rate = (await count(sample) - known) / stock.reach[SAMPLE]
    fewest = known + rate * stock.size(stock.filler(MAX_FILL)) if rate > 0 else known
    if rate <= 0 or tokens < fewest:
        kind = MiscountError if rate <= 0 else DialectError
        raise kind(
            say(
                "{tokens} tokens do not hold needle and question, which with the chat frame are "
                "{known}: {advice}",
                tokens=tokens,
                known=known,
                advice=_ADVICE if rate <= 0 else say("use shorter ones"),
            )
        )
    fit = _Fit(stock, tokens, known, rate, depth)
    measured: set[int] = set()
    exact_depth = needle is None or depth in (0, 1)
    for _ in range(MAX_COUNTS):
        layout = fit.next()
        text = _text(stock, layout, needle, question)
        counted = await count(text)
        fit.counted[layout] = counted
        if len(fit.counted) > 2 and abs(counted - tokens) > max(FAR_OFF, tokens / 10):
            raise MiscountError(
                say(
                    "{counted} tokens were counted in a text made for {tokens}: {advice}",
                    counted=counted,
                    tokens=tokens,
                    advice=_ADVICE,
                )
            )
        if counted != tokens:
            continue
        if exact_depth:
            return Buried(text, tokens, depth)
        # Of the last place, behind the filler, the start is known: what is measured is the one before it.
        last = layout.place > layout.kept
        boundary = layout.kept if last else layout.place
        before = stock.join(*stock.first(boundary), question)
        start = await count(before) - frame if boundary else 0
        fit.drift += start - fit.start(boundary)
        measured.add(layout.place)
        if fit.place(layout.kept) in measured:  # where boundaries merge, the nearest may have no rest
            return Buried(text, tokens, 1.0 if last else start / fit.haystack)
    raise MiscountError(
        say(
            "no text of exactly {tokens} tokens was found in {max_counts} steps: {advice}",
            tokens=tokens,
            max_counts=MAX_COUNTS,
            advice=_ADVICE,
        )
    )


def _text(stock: _Stock, layout: _Layout, needle: str | None, question: str) -> str:
    parts = [*stock.first(layout.kept), stock.filler(layout.words, layout.turn)]
    if needle is not None:
        parts.insert(layout.place, needle)
    return stock.join(*parts, question)
