import copy
import json

import numpy as np
import pytest
from wire_transcripts import VERSIONS, response_body, transcript

from pytest_gptoss.client.scoring import score_body, scored_sequence
from pytest_gptoss.model.errors import DialectError
from pytest_gptoss.model.inputs import TokenSequence

IDS = (976, 4853, 19705, 68347)
SEQUENCE = TokenSequence("fox", IDS)


def recorded(version="0.32.0"):
    return copy.deepcopy(response_body(version, "completion_prompt_logprobs"))


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_prompt_logprobs_become_a_scored_sequence(version):
    scored = scored_sequence(recorded(version), SEQUENCE, top=5)
    assert (scored.sequence_id, scored.token_ids, scored.first) == ("fox", IDS, 1)
    assert scored.logprobs.dtype == np.float64
    assert scored.logprobs.tolist() == [-12.825441360473633, -13.05778980255127, -11.726218223571777]
    assert scored.top.ids.shape == (3, 5)
    # The position's own token stands first in the answer, but is not among the five most likely.
    assert scored.top.ids[0].tolist() == [1825, 1268, 4584, 316, 29082]
    assert scored.top.logprobs[0].tolist() == pytest.approx(
        [-2.284425735473633, -5.534425735473633, -6.096925735473633, -9.675050735473633, -9.956300735473633]
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_the_request_is_the_one_that_was_recorded(version):
    body = transcript(version, "completion_prompt_logprobs")["request"]["body"]
    assert score_body(SEQUENCE, top=5) == {name: value for name, value in body.items() if name != "model"}


def test_scoring_begins_where_the_sequence_says():
    scored = scored_sequence(recorded(), TokenSequence("fox", IDS, first=3), top=2)
    assert scored.logprobs.tolist() == [-11.726218223571777]
    assert scored.top.ids.shape == (1, 2)


def test_a_list_shorter_than_asked_for_is_refused():
    """Of a list cut short all that it lacks would look equal."""
    with pytest.raises(DialectError, match=r"prompt_logprobs\[1\] lists 6 of the 8 likeliest tokens"):
        scored_sequence(recorded(), SEQUENCE, top=8)


def broken(change):
    answer = recorded()
    change(answer["choices"][0])
    return answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"choices": []}, "expected a completion"),
        ([], "expected a completion"),
        (broken(lambda choice: choice.pop("prompt_logprobs")), "holds no prompt_logprobs.*waive"),
        (broken(lambda choice: choice.update(prompt_logprobs=None)), "holds no prompt_logprobs"),
        (broken(lambda choice: choice["prompt_logprobs"].pop()), "3 entries for 4 prompt tokens"),
        (
            broken(lambda choice: choice["prompt_logprobs"][2].pop("19705")),
            r"\[2\] holds no .* own token 19705",
        ),
        (
            broken(lambda choice: choice["prompt_logprobs"].__setitem__(1, None)),
            r"\[1\] holds no .* token 4853",
        ),
        (
            broken(lambda choice: choice["prompt_logprobs"][1]["4853"].update(logprob=None)),
            "position 1 is None",
        ),
        (
            broken(lambda choice: choice["prompt_logprobs"][3]["1072"].update(logprob=None)),
            "position 3 hold None",
        ),
        (
            broken(lambda choice: choice["prompt_logprobs"][1].update(x={"logprob": -1.0})),
            "an entry that is not",
        ),
        (broken(lambda choice: choice["prompt_logprobs"][1].update({"5": -1.0})), "an entry that is not"),
    ],
)
def test_an_answer_that_lacks_something_says_what(answer, message):
    with pytest.raises(DialectError, match=message) as caught:
        scored_sequence(answer, SEQUENCE, top=5)
    assert "\n" not in str(caught.value)


def test_nan_in_the_json_is_refused():
    text = json.dumps(recorded()).replace("-12.825441360473633", "NaN")
    with pytest.raises(DialectError, match="prompt_logprobs at position 1 is nan"):
        scored_sequence(json.loads(text), SEQUENCE, top=5)


def test_one_number_for_all_tokens_is_left_to_the_judge_who_says_more():
    """A server that computes no log-probabilities lists no others beside its filler."""
    answer = recorded()
    entries = answer["choices"][0]["prompt_logprobs"]
    for place, token in enumerate(IDS):
        if entries[place] is not None:
            entries[place] = {str(token): {"logprob": 0.0, "rank": 1}}
    assert scored_sequence(answer, SEQUENCE, top=5).logprobs.tolist() == [0.0] * 3
