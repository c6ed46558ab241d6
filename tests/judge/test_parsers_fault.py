"""Text that departs from its own token ids turns the parser's rows red and names the parser, no other row."""

import dataclasses

import pytest
from made import answer, measurement
from made_harmony import RETURN, harmony, message

from pytest_gptoss.judge.metrics.no_mixing import no_mixing
from pytest_gptoss.judge.metrics.reasoning import reasoning
from pytest_gptoss.judge.metrics.rouge import rouge_l
from pytest_gptoss.judge.metrics.smoke import names_paris
from pytest_gptoss.judge.metrics.streaming import streaming

THOUGHT, SAID = "The capital of France is asked for.", "Paris is the capital of France."
IDS = harmony(THOUGHT, SAID)


def said(content=SAID, reasoning=THOUGHT, ids=IDS, prompt_id="a"):
    return answer(prompt_id, ids, content=content, reasoning=reasoning)


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (said(content=""), "content is empty where its token ids hold 'Paris is"),
        (said(content=SAID[:-4]), "content is "),
        (said(content=SAID.replace(" ", "")), "content is "),
        (said(reasoning=""), "reasoning is empty"),
        (said(reasoning=THOUGHT[5:]), "reasoning is "),
        # Without an analysis too, where nothing is to be set apart.
        (said("", "", ids=(*message("final", SAID), RETURN)), "content is empty"),
        (said("", SAID, ids=(*message("final", SAID), RETURN)), "content is empty"),
    ],
)
def test_the_row_of_reasoning_names_the_parser(lost, words):
    estimate = reasoning(npu=measurement("npu", [said(prompt_id="b"), lost]))
    assert estimate.value == 0.5
    assert words in estimate.details["finding"]
    assert "--reasoning-parser openai_gptoss, where it is set" in estimate.details["finding"]
    assert "not the device" in estimate.details["finding"]


def test_reasoning_that_is_shown_as_content_wants_the_flags():
    for content in (f"{THOUGHT}{SAID}", f"{THOUGHT}\n{SAID}", THOUGHT):
        estimate = reasoning(npu=measurement("npu", [said(content, "")]))
        assert estimate.value == 0
        assert "serve with --enable-auto-tool-choice" in estimate.details["finding"]


def test_sound_answers_and_cut_ones_stay_green():
    cut = dataclasses.replace(said("", THOUGHT[:9], ids=harmony(THOUGHT, end=None)), finish_reason="length")
    straight = said(SAID, "", ids=(*message("final", SAID), RETURN))
    estimate = reasoning(npu=measurement("npu", [said(), straight, cut]))
    assert (estimate.value, estimate.n) == (1, 1)
    assert "finding" not in estimate.details


def test_the_row_of_streaming_names_the_parser_where_the_ids_are_the_same():
    whole = measurement("npu", [said(), said(prompt_id="a again")])
    lost = streaming(streamed=measurement("npu", [said(content="")]), whole=whole)
    assert lost.value == 0
    assert "from the same token ids: the server's parser makes the difference" in lost.details["finding"]
    other = said("Lyon.", ids=harmony(THOUGHT, "Lyon."))
    differs = streaming(streamed=measurement("npu", [other]), whole=whole)
    assert differs.value == 0
    assert "parser" not in differs.details["finding"]


def test_rouge_is_judged_from_ids_and_its_note_names_the_parser():
    texts = {key: f"{key} is a word and {key} is another, {key}." for key in ("one", "two", "three")}
    sound = [said(text, ids=harmony(THOUGHT, text), prompt_id=key) for key, text in texts.items()]
    lost = [dataclasses.replace(each, content="", reasoning="") for each in sound]
    estimate = rouge_l(npu=measurement("npu", lost), gpu=measurement("gpu", sound))
    assert estimate.value == 1
    assert "3 of 3 texts of npu depart from their own token ids, first one" in estimate.details["note"]
    assert "not the device" in estimate.details["note"]
    # A device that withholds its ids is compared by text, as the other then is.
    hidden = [dataclasses.replace(each, token_ids=None) for each in sound]
    assert rouge_l(npu=measurement("npu", lost), gpu=measurement("gpu", hidden)).value == 0
    both = rouge_l(npu=measurement("npu", sound), gpu=measurement("gpu", hidden))
    assert both.value == 1
    assert "note" not in both.details


def test_raw_completions_are_no_parsers_fault():
    texts = ("one word.", "two words here.", "three words are here.")
    raw = [
        said(f"analysis{THOUGHT}assistantfinal{text}", "", harmony(THOUGHT, text), prompt_id=text)
        for text in texts
    ]
    estimate = rouge_l(npu=measurement("npu", raw), gpu=measurement("gpu", raw))
    assert estimate.value == 1
    assert "note" not in estimate.details


def test_mixed_requests_are_seen_in_ids():
    def tagged(tag, named):
        return said("", "", harmony("I look.", f"The code is {named}."), prompt_id=tag)

    tags = ("1111", "2222", "3333")
    sound = [tagged(tag, tag) for tag in tags]
    assert no_mixing(npu=measurement("npu", sound)).value == 0
    grouped = [tagged(tag, f"{tag[0]},{tag[1:]}") for tag in tags]
    assert no_mixing(npu=measurement("npu", grouped)).details["own"] == 3
    crossed = [tagged("1111", "2,222"), *sound[1:]]
    assert no_mixing(npu=measurement("npu", crossed)).value == 1


def test_the_smoke_question_is_read_from_ids():
    lost = said("", "", prompt_id="capital-france")
    assert names_paris(npu=measurement("npu", [lost])).value == 1
