"""For any length, depth and tokenizer: the prompt is exact, the needle whole and where it belongs."""

import asyncio
import re
import tracemalloc
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.model.inputs import NeedleTask
from pytest_gptoss.scenarios.kinds import Needle
from pytest_gptoss.scenarios.needle_prompt import (
    CONTEXT,
    RESERVE,
    bury,
    code_of,
    needle_with,
    planned_tokens,
    seed_of,
)

TASK = NeedleTask()
ENGLISH = (TASK.needle, TASK.question)
CHINESE = ("密码是7842。", "密码是什么？")
FRAME = 68


def merging(salt):
    """Words as tokens, but one pair of neighbours in four is one token, across sentences too."""

    def size(text):
        words = re.findall(r"\s?[^\s\u3400-\u9fff]+|\s?[\u3400-\u9fff]", text)
        at = tokens = 0
        while at < len(words):
            pair = "".join(words[at : at + 2]).encode()
            at += 2 if zlib.crc32(pair, salt) % 4 == 0 else 1
            tokens += 1
        return tokens

    return size


def thirds(text):
    """Three bytes a token, so that every boundary shifts with all before it."""
    return -(-len(text.encode()) // 3)


class Counter:
    """Prompt tokens under a tokenizer, and how often they were asked for."""

    def __init__(self, size):
        self.size, self.calls = size, 0

    async def __call__(self, text):
        self.calls += 1
        return FRAME + self.size(text)


def buried(words, *, depth, tokens, count, seed=3):
    needle, question = words
    return asyncio.run(bury(needle, question, depth=depth, tokens=tokens, seed=seed, count=count))


@settings(deadline=None, max_examples=60)
@given(
    words=st.sampled_from([ENGLISH, CHINESE]),
    tokens=st.integers(256, 6000),
    depth=st.floats(0, 1),
    seed=st.integers(0, 2**40),
    size=st.integers(0, 2**20).map(merging) | st.just(thirds),
)
@example(words=ENGLISH, tokens=760, depth=0.984375, seed=220, size=merging(0))
def test_every_prompt_is_exact_and_its_needle_whole(words, tokens, depth, seed, size):
    count = Counter(size)
    found = buried(words, depth=depth, tokens=tokens, count=count, seed=seed)
    needle, question = words
    joint = " " if words is ENGLISH else ""
    assert asyncio.run(count(found.text)) == found.tokens == tokens
    assert found.text.count(needle) == 1
    assert found.text.endswith(joint + question)
    before, after = found.text.removesuffix(joint + question).split(needle)
    for part in (before, after):
        assert part.strip() == "" or part.strip().endswith((".", "。"))
    # The nearest boundary is at most half of the longest sentence away; where words merge, a little more.
    longest = max(size(sentence) for sentence in re.split("(?<=[.。])", f"{before}{after}"))
    haystack = tokens - FRAME - size(joint.join((needle, question)))
    assert abs(found.depth - depth) * haystack <= longest / 2 + 3
    assert abs(size(before) - found.depth * haystack) <= 3 + (0 if depth in (0, 1) else size(question))
    assert 0 <= found.depth <= 1


def test_the_real_vocabulary_takes_a_handful_of_counts(harmony):
    def size(text):
        return len(harmony.encode(text))

    for words in (ENGLISH, CHINESE):
        for tokens in (1024, 32_768):
            for depth in (0.0, 0.25, 0.5, 0.75, 1.0):
                count = Counter(size)
                found = buried(words, depth=depth, tokens=tokens, count=count)
                assert FRAME + size(found.text) == tokens
                assert abs(found.depth - depth) * tokens < 15
                assert count.calls <= 12


def test_the_longest_prompt_is_built_in_bounded_memory():
    tokens = planned_tokens(CONTEXT)
    tracemalloc.start()
    try:
        found = buried(ENGLISH, depth=0.5, tokens=tokens, count=Counter(lambda text: len(text.split())))
        assert found.tokens == tokens == CONTEXT - RESERVE
        del found
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200 * 2**20
    assert left < peak / 20, "memory grows with the number of cells"


def test_the_control_is_the_same_haystack_without_the_needle():
    count = Counter(merging(1))
    text = buried(ENGLISH, depth=0.5, tokens=2000, count=count).text
    control = buried((None, TASK.question), depth=0.5, tokens=2000, count=count).text
    assert TASK.expect not in control
    haystack = text.replace(f"{TASK.needle} ", "").removesuffix(f" {TASK.question}").split(". ")
    assert control.split(". ")[: len(haystack) - 1] == haystack[:-1]


def test_a_server_that_cuts_prompts_is_told():
    async def cut(text):
        return min(FRAME + len(text.split()), 512)

    with pytest.raises(DialectError, match="does it cut prompts short"):
        buried(ENGLISH, depth=0.5, tokens=2000, count=cut)


def test_a_needle_too_long_for_the_prompt_is_told():
    with pytest.raises(DialectError, match="use shorter ones"):
        buried(("The code is 7. " * 80, "What?"), depth=0.5, tokens=300, count=Counter(thirds))


def test_seeds_differ_by_cell_and_trial_and_are_shared_with_the_control():
    cells = [Needle("npu", depth, length) for depth in (0.0, 0.5) for length in (1024, 2048)]
    seeds = {seed_of(TASK, cell, trial) for cell in cells for trial in range(3)}
    assert len(seeds) == 12
    assert seed_of(TASK, cells[0], 1) == seed_of(TASK, Needle("gpu", 0.0, 1024, control=True), 1)
    assert seed_of(NeedleTask(seed=1), cells[0], 0) not in seeds


def test_the_first_trial_hides_the_given_code_and_others_random_ones():
    codes = [code_of(TASK, trial) for trial in range(40)]
    assert codes[0] == "7842"
    assert TASK.expect not in codes[1:]
    assert all(re.fullmatch(r"[0-9]{4}", code) for code in codes)
    assert len(set(codes)) > 30
    assert needle_with(TASK, "1234") == "The secret code is 1234."
    assert re.fullmatch(r"[A-Z][a-z]-[0-9]", code_of(NeedleTask(needle="Xy-7", expect="Xy-7"), 1))


def test_only_the_longest_cell_gives_the_answers_room_away():
    assert planned_tokens(98_304) == 98_304
    assert planned_tokens(131_072) == 131_072 - RESERVE
