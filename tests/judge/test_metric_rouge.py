"""ROUGE-L in English and Chinese, checked against rouge-score and by hand."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import answer, measurement
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from pytest_gptoss.judge.metrics.rouge import WordTokenizer, rouge_l
from pytest_gptoss.model.errors import InsufficientData

tokenize = WordTokenizer().tokenize


def compare(*pairs):
    npu = [answer(f"p{index}", content=pair[0]) for index, pair in enumerate(pairs)]
    gpu = [answer(f"p{index}", content=pair[1]) for index, pair in enumerate(pairs)]
    return rouge_l(npu=measurement("npu", npu), gpu=measurement("gpu", gpu))


def test_f_by_hand():
    estimate = compare(("the cat sat", "the cat sat down"), ("yes", "yes"))
    f = 2 * 1 * 0.75 / 1.75
    assert estimate.details["prompts"] == {"p0": pytest.approx(f), "p1": 1.0}
    assert estimate.value == pytest.approx((f + 1) / 2)
    assert (estimate.unit, estimate.n) == ("F", 2)
    assert estimate.details["finding"] == "1 of 2 texts differ, most in p0 with ROUGE-L 0.857"
    json.dumps(estimate.details, allow_nan=False)


def test_chinese_is_compared_character_by_character():
    assert compare(("北京是首都", "北京是中国的首都")).value == pytest.approx(2 * 1 * (5 / 8) / (1 + 5 / 8))


def test_reasoning_counts_before_content():
    npu = answer("p", reasoning="think", content="answer")
    gpu = answer("p", reasoning="answer", content="think")
    same = rouge_l(npu=measurement("npu", [npu]), gpu=measurement("gpu", [npu]))
    swapped = rouge_l(npu=measurement("npu", [npu]), gpu=measurement("gpu", [gpu]))
    assert (same.value, swapped.value) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 3.14, OK_then?", ["it", "s", "3", "14", "ok", "then"]),
        ("北京2024年 GPU", ["北", "京", "2024", "年", "gpu"]),
        ("かな カナ 漢字", ["か", "な", "カ", "ナ", "漢", "字"]),
        ("naïve Straße", ["naïve", "straße"]),
        ("\U00020000\u3007", ["\U00020000", "\u3007"]),
        ("!!! ?", ["!", "!", "!", "?"]),
        (" \n", []),
    ],
)
def test_tokens(text, words):
    assert tokenize(text) == words


@given(st.text(st.characters(codec="ascii")))
def test_ascii_is_split_as_rouge_score_splits_it(text):
    expected = DefaultTokenizer(use_stemmer=False).tokenize(text)
    if expected:
        assert tokenize(text) == expected


TEXT = st.text(st.sampled_from("ab 北京.1"), max_size=12)


@settings(max_examples=30)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_bounds_and_symmetry(pairs):
    try:
        one, other = compare(*pairs), compare(*[pair[::-1] for pair in pairs])
    except InsufficientData:
        return
    assert 0 <= one.value <= 1
    assert other.value == pytest.approx(one.value)
    assert compare(*pairs[::-1]).value == pytest.approx(one.value)


@given(TEXT.filter(str.strip), TEXT)
def test_one_pair_is_what_rouge_score_says(reference, text):
    expected = RougeScorer(["rougeL"], tokenizer=WordTokenizer()).score(reference, text)["rougeL"].fmeasure
    assert compare((text, reference)).value == pytest.approx(expected)


def test_an_empty_answer_against_a_text_scores_zero():
    assert compare(("", "some words"), ("same", "same")).details["prompts"]["p0"] == 0


def test_both_empty_is_left_out_and_counted():
    pairs = [(f"word{index}", f"word{index}") for index in range(19)]
    estimate = compare(*pairs, ("", ""))
    assert (estimate.value, estimate.n, estimate.details["both_empty"]) == (1.0, 19, ["p19"])


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        (
            [("a", "a"), ("b", "b"), ("", "")],
            "1 of 3 prompts have empty answers on both devices, more than 5%",
        ),
        ([("a", ""), ("b", "")], "gpu: every one of 2 answers is empty"),
        ([("a", "same"), ("b", "same")], "gpu: all 2 answers are the same"),
    ],
)
def test_nothing_is_concluded_from_nothing(pairs, says):
    with pytest.raises(InsufficientData, match=says):
        compare(*pairs)


def test_equal_texts_of_any_length_cost_no_table():
    text = " ".join(f"word{index}" for index in range(200_000))
    assert compare((text, text)).value == 1.0
