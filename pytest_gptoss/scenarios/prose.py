"""Seeded prose, English or Chinese, in which no sentence comes twice.

Needle tests, load prompts and the training of the tiny checkpoint all read from here, so what that
checkpoint learnt is what it is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from pytest_gptoss.scenarios.grammar import Grammar, walk
from pytest_gptoss.scenarios.prose_en import ENGLISH
from pytest_gptoss.scenarios.prose_zh import CHINESE

__all__ = ["LANGUAGES", "capacity", "filler", "join", "language_of", "sentences", "text", "words"]

_GRAMMARS: Mapping[str, Grammar] = {"en": ENGLISH, "zh": CHINESE}
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_STOPS = ".，。"

LANGUAGES = tuple(_GRAMMARS)
"""The languages there is prose in."""


def sentences(seed: int, language: str = "en") -> Iterator[str]:
    """Give every sentence of the language once, in an order that only the seed decides.

    Shapes come by their shares; one whose sentences are all said leaves its share to the others. The
    stream ends after ``capacity(language)`` sentences, over two million tokens.

    Raises ValueError where there is no prose in that language.
    """
    return walk(seed, _grammar(language).shapes)


def text(seed: int, sentences: int, language: str = "en") -> str:
    """Join the first ``sentences`` sentences of the stream as the language is written.

    Raises ValueError where there is no prose in that language, or it has fewer sentences than that.
    """
    most = capacity(language)
    if not 0 <= sentences <= most:
        raise ValueError(
            f"{sentences} sentences of language {language!r} were asked for, "
            f"it has between 0 and {most} without repeating one: ask for fewer"
        )
    return join(islice(walk(seed, _grammar(language).shapes), sentences), language)


def join(parts: Iterable[str], language: str = "en") -> str:
    """Put sentences behind each other: English with spaces between them, Chinese without.

    Raises ValueError where there is no prose in that language.
    """
    return _grammar(language).joint.join(parts)


def filler(words: int, turn: int = 0, language: str = "en") -> str:
    """One sentence made longer by ``words`` words: it fits a text to a length in tokens.

    ``turn`` says it of another being, whose name may have another length.

    Raises ValueError where there is no prose in that language.
    """
    return _grammar(language).filler(words, turn)


def capacity(language: str = "en") -> int:
    """Count the different sentences of a language.

    Raises ValueError where there is no prose in that language.
    """
    return sum(shape.size for shape in _grammar(language).shapes)


def words(language: str = "en") -> frozenset[str]:
    """List every word its sentences can hold, without stops, in the spelling they have there.

    Raises ValueError where there is no prose in that language.
    """
    pieces: list[str] = []
    for shape in _grammar(language).shapes:
        pieces += shape.template.replace("{}", " ").split()
        pieces += (word for gap in shape.gaps for entry in gap for word in entry.split())
    return frozenset(stripped for piece in pieces if (stripped := piece.strip(_STOPS)))


def language_of(text: str) -> str:
    """The language whose prose a text belongs into: Chinese as soon as it holds a Chinese character."""
    return "zh" if _CHINESE.search(text) else "en"


def _grammar(language: str) -> Grammar:
    try:
        return _GRAMMARS[language]
    except KeyError:
        raise ValueError(
            f"there is no prose in language {language!r}: choose one of {', '.join(LANGUAGES)}"
        ) from None
