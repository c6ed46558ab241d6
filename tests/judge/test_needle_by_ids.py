"""Needle answers are judged by their token ids; garbage is a miss, a lost text is the parser's fault."""

import pytest
from made import measurement
from made_harmony import harmony, message

from pytest_gptoss.judge.metrics.needle import needle_control, needle_edge, needle_recall, outcome_of
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.results import Measurement, NeedleAnswer
from pytest_gptoss.scenarios.kinds import Needle

THOUGHT, SAID = "Somewhere it says 7842.", "The secret code is 7842."


def trial(ids=None, content="", reasoning="", *, number=0, finish_reason="stop", cut=False):
    return NeedleAnswer(
        number, "7842", planned_tokens=1024, depth=0.5, prompt_tokens=1024, content=content,
        reasoning=reasoning, finish_reason=finish_reason, cut=cut,
        token_ids=None if ids is None else tuple(ids),
    )  # fmt: skip


def cell(*trials, device="npu", control=False):
    return Measurement(Needle(device, 0.5, 1024, control).id, device, trials)


GARBAGE = trial([0] * 1024, finish_reason="length", cut=True)
SILENT = trial(message("analysis", [220] * 9), finish_reason="length", cut=True)


@pytest.mark.parametrize(
    ("answer", "excerpt"),
    [
        (GARBAGE, "the last 1024 of 1024 tokens repeat '!'"),
        (SILENT, "no text in"),
        (trial(content="!" * 1024, finish_reason="length", cut=True), "repeat '!'"),
        (trial(reasoning="I see. " * 200, finish_reason="length", cut=True), "repeat"),
        # Named and then repeated to the end: no answer either.
        (trial(harmony(THOUGHT, "7842 " * 200, end=None), "7842 " * 200, THOUGHT, finish_reason="length"),
         "repeat '7842 '"),
    ],
)  # fmt: skip
def test_a_cut_answer_that_is_garbage_is_a_miss(answer, excerpt):
    assert outcome_of(answer) == "miss"
    estimate = needle_recall(npu=cell(answer))
    assert estimate.value == 0
    assert "asked for 7842, cut at max_tokens, " in estimate.details["finding"]
    assert excerpt in estimate.details["finding"]
    assert "note" not in estimate.details


def test_a_sound_analysis_that_ran_out_of_room_is_no_test():
    reasoning = "".join(f"Part {number} speaks of gardens, not of codes. " for number in range(90))
    for ids in (None, harmony(reasoning, end=None)):
        for shown in ("", reasoning):
            if ids is None and not shown:
                continue
            answer = trial(ids, reasoning=shown, finish_reason="length", cut=True)
            assert outcome_of(answer) == "cut"
            with pytest.raises(InsufficientData, match=f"{len(reasoning)} characters of analysis"):
                needle_recall(npu=cell(answer))


def test_garbage_in_the_control_says_nothing_of_a_code():
    for answer in (GARBAGE, SILENT, trial([200002]), trial(content=" ")):
        with pytest.raises(
            InsufficientData, match=r"trial 0 does not show .* see the same cell of needle\.recall"
        ):
            needle_control(npu=cell(answer, control=True))
    named = trial(content="7842 " * 400, finish_reason="length", cut=True)
    assert needle_control(npu=cell(named, control=True)).value == 1


@pytest.mark.parametrize(
    "content",
    ["There is no secret code in the text.", "I found no code; the year 1999 is named.", "文中没有密码。"],
)
def test_a_model_that_finds_no_code_keeps_the_control_green(content):
    ids = harmony("Nothing is hidden here. Nothing at all. Nothing at all.", content)
    for answer in (trial(content=content), trial(ids, content, "Nothing"), trial(ids)):
        assert needle_control(npu=cell(answer, control=True)).value == 0


def test_an_answer_with_another_number_beside_the_code_is_a_hit():
    for content in ("It is 7,842, said in sentence 1,204.", "Not 17842 but 7842.", "In 1999: 7842"):
        assert outcome_of(trial(content=content)) == "hit"
        assert outcome_of(trial(harmony(THOUGHT, content), content, THOUGHT)) == "hit"


@pytest.mark.parametrize(
    ("content", "reasoning"), [("", THOUGHT), ("", ""), ("The secret code is ", THOUGHT), (THOUGHT, "")]
)
def test_what_the_parser_loses_is_found_in_the_ids_and_the_parser_is_named(content, reasoning):
    answer = trial(harmony(THOUGHT, SAID), content, reasoning)
    assert outcome_of(answer) == "hit"
    estimate = needle_recall(npu=cell(answer))
    assert estimate.value == 1
    assert "finding" not in estimate.details
    note = estimate.details["note"]
    assert note.startswith("needle d050-1k: the text of 1 of 1 answers of npu departs from its own token ids")
    assert "--reasoning-parser" in note
    assert "not the device" in note
    assert estimate.details["trials"][0]["answer"] == SAID


def test_a_text_that_names_what_the_ids_do_not_is_no_hit():
    answer = trial(harmony(THOUGHT, "I do not know."), SAID, THOUGHT)
    estimate = needle_recall(npu=cell(answer))
    assert estimate.value == 0
    assert "answered 'I do not know.'" in estimate.details["finding"]
    assert "content is 'The secret code is 7842.'" in estimate.details["note"]


def test_both_devices_are_read_alike():
    lost, sound = trial(harmony(THOUGHT, SAID)), trial(harmony(THOUGHT, SAID), SAID, THOUGHT)
    edge = needle_edge(npu=cell(sound), gpu=cell(lost, device="gpu"))
    assert edge.value == 1
    assert "finding" not in edge.details
    wrecked = needle_edge(npu=cell(GARBAGE), gpu=cell(sound, device="gpu"))
    assert "only npu misses 1 of 1" in wrecked.details["finding"]


def test_sound_answers_have_no_note():
    sound = [trial(harmony(THOUGHT, SAID), SAID, THOUGHT, number=number) for number in range(3)]
    assert "note" not in needle_recall(npu=measurement("npu", sound)).details
