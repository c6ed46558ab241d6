"""An answer is what its token ids say; a server's text that is none of what a sound parser makes is told."""

import json
from pathlib import Path

import pytest
from made import answer
from made_harmony import END, START, harmony, harmony_call, message, spelt

from pytest_gptoss.client.generation import StreamedGeneration
from pytest_gptoss.client.unary import unary_generation
from pytest_gptoss.judge.answer_text import answer_text

WIRE = Path(__file__).parents[1] / "wire"
THOUGHT, SAID = "The user asks for it.", "It is 7842, that is all there is to say."


def said(ids, content="", reasoning=""):
    return answer_text(answer("p", ids, content=content, reasoning=reasoning))


def test_ids_are_read_where_they_are_told():
    read = said(harmony(THOUGHT, SAID))
    assert (read.analysis, read.final, read.text) == (THOUGHT, SAID, f"{THOUGHT}\n{SAID}")
    assert read.by_ids


@pytest.mark.parametrize("ids", [None, (), (1, 2), (200005, 35644)])
def test_else_the_servers_text_is_read(ids):
    read = said(ids, SAID, THOUGHT)
    assert (read.analysis, read.final, read.by_ids, read.departure) == (THOUGHT, SAID, False, None)


@pytest.mark.parametrize(
    ("content", "reasoning", "words"),
    [
        ("", THOUGHT, "content is empty where its token ids hold 'It is 7842"),
        (SAID, "", "reasoning is empty where its token ids hold 'The user asks"),
        (SAID[:-5], THOUGHT, "content is 'here is to' where its token ids hold 'here is to say.'"),
        (SAID[3:], THOUGHT, "content is 'is 7842"),
        (SAID.replace("7842", "7841"), THOUGHT, "content is 'It is 7841"),
        (SAID.replace(" ", ""), THOUGHT, "content is 'Itis7842"),
        (SAID * 2, THOUGHT, "content is "),
        (f"{THOUGHT}{SAID}", THOUGHT, "content is 'The user"),
        (SAID, f"{THOUGHT}{SAID}", "reasoning is "),
    ],
)
def test_text_that_departs_from_its_ids_is_told(content, reasoning, words):
    read = said(harmony(THOUGHT, SAID), content, reasoning)
    assert read.departure is not None
    assert words in read.departure
    assert read.final == SAID


def test_content_of_an_analysis_alone_is_told():
    read = said(harmony(THOUGHT), SAID, THOUGHT)
    assert read.departure == f"content is {SAID!r} where its token ids hold none"


@pytest.mark.parametrize(
    ("ids", "content", "reasoning"),
    [
        (harmony(THOUGHT, SAID), SAID, THOUGHT),
        (harmony(THOUGHT, SAID), f"\n{SAID}\n", f" {THOUGHT}"),
        # Cut inside a character: the server holds its bytes back, or shows that they make none.
        (harmony(THOUGHT, spelt("密")[:2], end=None), "", THOUGHT),
        (harmony(THOUGHT, spelt("密")[:2], end=None), "\ufffd", THOUGHT),
        # Two messages of a channel: joined, joined by a line, or the last alone.
        ((*harmony(THOUGHT, "a", end=END), START, *message("final", "b")), "ab", THOUGHT),
        ((*harmony(THOUGHT, "a", end=END), START, *message("final", "b")), "a\nb", THOUGHT),
        ((*harmony(THOUGHT, "a", end=END), START, *message("final", "b")), "b", THOUGHT),
        # A preamble is reasoning here and content there.
        (harmony_call(THOUGHT, "{}", preamble="Let me see."), "Let me see.", THOUGHT),
        (harmony_call(THOUGHT, "{}", preamble="Let me see."), "", f"{THOUGHT}\nLet me see."),
        (harmony_call(THOUGHT, "{}"), "", THOUGHT),
        # Broken off in a header: servers show it or do not.
        ((*harmony(THOUGHT, end=END), START, *spelt("assistant")), "<|start|>assistant", THOUGHT),
        ((*harmony(THOUGHT, end=END), START, *spelt("assistant")), "", THOUGHT),
        # Reserved ids have no text of their own.
        (harmony(THOUGHT, (200100, 200101)), "<|reserved_200100|>", THOUGHT),
    ],
)
def test_what_sound_servers_do_in_their_own_ways_is_no_departure(ids, content, reasoning):
    assert said(ids, content, reasoning).departure is None


def test_a_raw_completion_is_unparsed():
    read = said(harmony(THOUGHT, SAID), f"analysis{THOUGHT}assistantfinal{SAID}")
    assert read.unparsed
    assert not said(harmony(THOUGHT, SAID), "").unparsed
    assert not said(harmony(THOUGHT, SAID), SAID, THOUGHT).unparsed


def test_no_recorded_answer_of_real_servers_departs_from_its_ids():
    judged = 0
    for path in sorted(WIRE.glob("0.*/*")):
        if "include_reasoning_false" in path.name:
            continue  # asked not to show it
        recorded = _recorded(path)
        if recorded is not None:
            read = answer_text(recorded)
            assert read.departure is None, path.name
            judged += read.by_ids
    assert judged > 50


def _recorded(path):
    try:
        if path.suffix == ".sse":
            taking = StreamedGeneration(100_000)
            for line in path.read_text("utf-8").split("\n"):
                if line.startswith("data: {"):
                    taking.take(line[6:])
            return taking.finished(prompt_id="p", top=None, done=True)
        body = json.loads(path.read_text("utf-8"))["response"]["body"]
        return unary_generation(body, prompt_id="p", max_tokens=100_000)
    except Exception:  # not an answer, or one that the client refuses
        return None
