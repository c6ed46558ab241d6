"""What repeats to the end of an answer is garbage; what a sound analysis repeats is not."""

from random import Random

import pytest
from made_harmony import END, MESSAGE, harmony, message, spelt

from pytest_gptoss.judge.garbage import garbage_of
from pytest_gptoss.model.results import NeedleAnswer

EXCLAMATION = 0
NEEDLE = "The secret code is 7842. "
PROSE = (
    "The user asks for the secret code. The text speaks of gardens, of rivers and of a clock that nobody "
    "winds. Somewhere in the middle a sentence says what the code is; I should look for it and quote it "
    "as it stands there, without anything else. "
)


def answered(ids=None, *, content="", reasoning=""):
    return NeedleAnswer(
        0, "7842", 1024, 0.5, prompt_tokens=1024, content=content, reasoning=reasoning,
        finish_reason="length", cut=True, token_ids=None if ids is None else tuple(ids),
    )  # fmt: skip


def numbers(count):
    """Ids that repeat nothing: as many words of the vocabulary."""
    return tuple(range(5000, 5000 + count))


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([EXCLAMATION] * 1024, "the last 1024 of 1024 tokens repeat '!'"),
        (harmony([EXCLAMATION] * 1021, end=None), "repeat '!'"),
        (harmony("I look. ", [EXCLAMATION] * 900, end=None), "the last 900 of"),
        ((*message("analysis", numbers(800)), *[EXCLAMATION] * 64), "the last 64 of 874 tokens"),
        (harmony(spelt(NEEDLE) * 40, end=None), "repeat"),
        (message("analysis", [*numbers(100), *[11, 12, 13] * 300]), "the last 900 of 1010 tokens"),
        (message("analysis", [*numbers(10), *numbers(330) * 3]), "the last 990 of"),
        # Channels opened over and over.
        ([*message("analysis", [7, 8]), END] * 60, "repeat"),
        # The server gave the answer less room.
        ([EXCLAMATION] * 20, "the last 20 of 20 tokens"),
        # One character in tokens of various lengths: "!", "!!", "!!!" and "!!!!".
        (message("analysis", Random(0).choices([0, 2618, 10880, 14401], k=1021)), "characters repeat '!'"),
    ],
)
def test_a_phrase_over_and_over_to_the_end_is_garbage(ids, said):
    found = garbage_of(answered(ids))
    assert found is not None
    assert found.startswith("garbage: ")
    assert said in found


def test_text_is_judged_where_ids_are_withheld():
    assert "repeat '!'" in garbage_of(answered(content="!" * 1024))
    assert "repeat" in garbage_of(answered(reasoning=PROSE + "and so on " * 100))
    assert "repeat" in garbage_of(answered(reasoning=PROSE, content=NEEDLE * 40))


@pytest.mark.parametrize(
    "ids",
    [
        [],
        [220] * 10,
        harmony("", end=None),
        harmony("  \n", "\n ", end=None),
        message("analysis", spelt("\n") * 9),
    ],
)
def test_no_text_in_all_its_tokens(ids):
    assert "no text" in (garbage_of(answered(ids)) or "")


def test_without_ids_and_text_the_message_says_that_ids_are_withheld():
    assert garbage_of(answered()) == "no text came, and the server withholds its token ids"


def test_a_parser_that_loses_the_text_makes_no_garbage():
    assert garbage_of(answered(harmony(PROSE, end=None))) is None
    assert garbage_of(answered(harmony(PROSE, "7842"))) is None


def test_tokens_outside_of_any_message_that_no_parser_shows_are_garbage():
    for ids in (numbers(50), range(200100, 200150)):
        assert "50 tokens without a harmony message" in garbage_of(answered(ids))
    # A server that shows them is judged by what it shows.
    assert garbage_of(answered(numbers(50), content="Some words.")) is None


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        f"{PROSE}{NEEDLE}{NEEDLE}",
        f"{PROSE}Again: {NEEDLE}Yes. {NEEDLE}",
        PROSE * 2,
        PROSE + "".join(f"{number}. The code is not in part {number}.\n" for number in range(1, 40)),
        PROSE + "".join(f"- part {number}: nothing\n" for number in range(1, 60)),
        # Prose made longer, as haystacks are, quoted at the cut.
        f"{PROSE}It was {'very ' * 24}",
        f"{PROSE}| part | code |\n|{'-' * 60}|{'-' * 60}|\n| 1 |{' ' * 300}",
        PROSE + "\n" * 30,
        f"{PROSE}| 1 | none |" + " " * 600,
        "wait wait wait",
        "Hmm...",
    ],
)
def test_a_sound_analysis_is_no_garbage(text):
    assert garbage_of(answered(reasoning=text)) is None


@pytest.mark.parametrize(
    "body",
    [
        numbers(1020),
        (*numbers(900), *numbers(30), *numbers(30)),
        # A sentence of 8 tokens twice, and three times.
        (*numbers(500), *numbers(8) * 2),
        (*numbers(500), *numbers(8) * 3),
        # A filler of 24 equal words, quoted where the answer is cut.
        (*numbers(500), *[7] * 24),
        # 63 blanks before the cell of a table goes on.
        (*numbers(500), *[220] * 63),
        # A short answer that says a thing twice.
        (*numbers(4), *numbers(8) * 2),
        # A list: each line differs in its number.
        tuple(token for number in range(200) for token in (15 + number, 13, 976, 4853, 198)),
        # A paragraph of 340 tokens twice.
        (*numbers(300), *range(9000, 9340), *range(9000, 9340)),
    ],
)
def test_a_sound_analysis_is_no_garbage_by_its_ids(body):
    assert garbage_of(answered(message("analysis", body))) is None
    assert MESSAGE in message("analysis", body)
