"""What is scored and what is left out, with its reason."""

from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.results import Generation
from pytest_gptoss.scenarios.sequences import corpus_sequences, output_sequences


def _answer(name, prompt, tokens):
    return Generation(name, prompt, tokens, "", "", (), "stop", 0, 0)


def test_an_answer_is_scored_behind_its_own_prompt():
    (sequence,) = output_sequences([_answer("a", (1, 2, 3), (4, 5))], context=None, longest=99).kept
    assert sequence == TokenSequence("a", (1, 2, 3, 4, 5), first=3)


def test_what_cannot_be_scored_is_left_out_with_its_reason():
    answers = [
        _answer("withheld", None, (1,)),
        _answer("empty", (1,), ()),
        _answer("long", (1,) * 10, (1,)),
        _answer("fits", (1,) * 9, (1,)),
    ]
    sequences = output_sequences(answers, context=None, longest=10)
    assert [each.id for each in sequences.kept] == ["fits"]
    assert set(sequences.left_out) == {"withheld", "empty", "long"}
    assert "11 tokens, more than the 10" in sequences.left_out["long"]


def test_the_context_needs_room_for_one_more_token():
    corpus = [TokenSequence("a", (1,) * 10), TokenSequence("b", (1,) * 9)]
    sequences = corpus_sequences(corpus, context=10)
    assert [each.id for each in sequences.kept] == ["b"]
    assert "do not fit the context of 10" in sequences.left_out["a"]


def test_the_limit_counts_those_that_fit():
    answers = [_answer(str(n), (1,), (1,) * (20 if n == 0 else 2)) for n in range(5)]
    sequences = output_sequences(answers, context=None, longest=10, limit=2)
    assert [each.id for each in sequences.kept] == ["1", "2"]
