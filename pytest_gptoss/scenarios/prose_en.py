"""The English grammar of :mod:`pytest_gptoss.scenarios.prose`."""

from __future__ import annotations

from pytest_gptoss.scenarios.grammar import Grammar, Shape, listed

__all__ = ["ENGLISH"]

_TRAITS = listed("old, young, small, big, red, green, quiet, happy, brown, white, clever, gentle")
_BEINGS = listed("dog, cat, horse, bird, farmer, teacher, baker, sailor, child, doctor, painter, rabbit")
_ACTIONS = listed("walks, runs, sits, sleeps, waits, sings, rests, works, plays, stands")
_RELATIONS = listed("near, behind, under, beside, in front of, next to, far from, close to, around, inside")
_PLACES = listed(
    "river, garden, house, market, bridge, forest, school, old mill, lake, station, window, green hill"
)
_THINGS = listed("grass, sky, sea, snow, bread, milk, apple, sun, moon, stone, door, road, coat, lamp")
_QUALITIES = listed(
    "green, blue, wide, white, fresh, cold, sweet, warm, round, heavy, open, long, thick, bright"
)
_TIMES = listed(
    "In the morning, At noon, In the evening, At night, Every day, On Sunday, In winter, In summer"
)
_ASIDES = (
    "The weather was fine all week.",
    "People come and go in the town.",
    "Nothing else happened that day.",
    "The train arrives at nine.",
    "They drink tea after lunch.",
    "A letter came from the city.",
    "The children read a book together.",
    "We buy fruit at the shop.",
    "The clock on the wall is slow.",
    "Rain falls softly on the roof.",
)


def _filler(words: int, turn: int) -> str:
    chosen = "".join(f"{_TRAITS[number % len(_TRAITS)]} " for number in range(words))
    return f"The {chosen}{_BEINGS[turn % len(_BEINGS)]} sits near the river."


ENGLISH = Grammar(
    shapes=(
        Shape(40, "The {} {} {} {} the {}.", (_TRAITS, _BEINGS, _ACTIONS, _RELATIONS, _PLACES)),
        Shape(20, "The {} is {}.", (_THINGS, _QUALITIES)),
        Shape(25, "{} the {} {} {} the {}.", (_TIMES, _BEINGS, _ACTIONS, _RELATIONS, _PLACES)),
        Shape(15, "{}", (_ASIDES,)),
    ),
    joint=" ",
    filler=_filler,
)
"""288,206 sentences, over two million tokens."""
