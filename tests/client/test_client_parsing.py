"""Whatever JSON a server answers is understood or refused in one short line; nothing else happens."""

import base64
import json

import pytest
from altered_json import JSON, altered
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_transcripts import VERSIONS, response_body, transcript

from pytest_gptoss.client.bodies import refusal_text
from pytest_gptoss.client.channel import Answer
from pytest_gptoss.client.generation import StreamedGeneration
from pytest_gptoss.client.models import served_models
from pytest_gptoss.client.pooling import states_from_bytes, states_from_json
from pytest_gptoss.client.scoring import scored_sequence
from pytest_gptoss.client.unary import unary_generation
from pytest_gptoss.model.errors import DialectError, StreamError
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.model.results import Generation

IDS = (976, 4853, 19705, 68347)
LONGEST_LINE = 400


def entry(token, *others):
    """One token's log-probabilities as chat writes them."""
    named = [{"token": f"token_id:{each}", "logprob": -1.5, "bytes": [1]} for each in (token, *others)]
    return {**named[0], "top_logprobs": named}


def completions_logprobs(token):
    name = f"token_id:{token}"
    return {"tokens": [name], "token_logprobs": [-1.5], "top_logprobs": [{name: -1.5}], "text_offset": [0]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
CALL = {"index": 0, "function": {"name": "get", "arguments": "{}"}}
STREAMS = [
    [
        {"prompt_token_ids": [1, 2, 3],
         "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"delta": {"reasoning": "a"}, "token_ids": [5],
                      "logprobs": {"content": [entry(5, 6)]}}]},
        {"choices": [{"delta": {"content": "b"}, "token_ids": [7],
                      "logprobs": {"content": [entry(7, 8)]}}]},
        {"choices": [{"delta": {}, "token_ids": [], "finish_reason": "stop"}]},
        USAGE,
    ],
    [
        {"choices": [{"text": "a", "token_ids": [5], "prompt_token_ids": [1, 2, 3],
                      "logprobs": completions_logprobs(5)}]},
        {"choices": [{"text": "b", "token_ids": [7], "logprobs": completions_logprobs(7),
                      "finish_reason": "length"}]},
        USAGE,
    ],
    [
        {"prompt_token_ids": [1, 2, 3], "choices": [{"delta": {"tool_calls": [CALL]}, "token_ids": [5, 7]}]},
        {"choices": [{"delta": {}, "token_ids": [], "finish_reason": "tool_calls"}]},
        USAGE,
    ],
]  # fmt: skip
REFUSALS = [response_body(version, "error_bad_type") for version in VERSIONS]


def understood_or_refused(parse):
    """What ``parse`` gives, or None where it refused in one short line."""
    try:
        return parse()
    except (DialectError, StreamError) as error:
        message = str(error)
        assert len(message.splitlines()) == 1, message
        assert message.isprintable(), message
        assert len(message) <= LONGEST_LINE, message
        return None


@pytest.mark.parametrize("chunks", STREAMS)
def test_the_streams_that_are_altered_below_are_sound(chunks):
    stream = StreamedGeneration(64)
    for chunk in chunks:
        stream.take(json.dumps(chunk))
    answer = stream.finished(prompt_id="p", top=5, done=True)
    assert answer.token_ids == (5, 7)
    _is_sound(answer)


@given(st.data())
@settings(max_examples=300)
def test_any_stream_is_an_answer_or_a_refusal(data):
    chunks = list(data.draw(st.sampled_from(STREAMS)))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(chunks) - 1))
        chunks[place] = data.draw(altered(chunks[place]))
    chunks = data.draw(st.sampled_from([chunks, chunks[1:], chunks[::-1], chunks + chunks[-2:]]))

    def parse():
        stream = StreamedGeneration(64)
        for chunk in chunks:
            stream.take(json.dumps(chunk))
        return stream.finished(prompt_id="p", top=5, done=True)

    answer = understood_or_refused(parse)
    if answer is not None:
        _is_sound(answer)


@given(
    st.sampled_from(VERSIONS),
    st.sampled_from(["tools_auto", "chat_return_token_ids"]),
    st.data(),
)
@settings(max_examples=300)
def test_any_whole_answer_is_an_answer_or_a_refusal(version, name, data):
    body = data.draw(altered(response_body(version, name)))
    answer = understood_or_refused(lambda: unary_generation(body, prompt_id="p", max_tokens=400))
    if answer is not None:
        _is_sound(answer)


def _is_sound(answer: Generation):
    assert answer.token_ids is None or len(answer.token_ids) == answer.completion_tokens
    assert 0 <= answer.completion_tokens < 2**31
    assert 0 <= answer.prompt_tokens < 2**31
    assert answer.prompt_token_ids is None or len(answer.prompt_token_ids) == answer.prompt_tokens
    assert len(answer.finish_reason) <= 60
    answer.text.encode("utf-8")


@given(
    st.sampled_from(VERSIONS).map(lambda v: response_body(v, "completion_prompt_logprobs")).flatmap(altered)
)
def test_any_scores_are_scores_or_a_refusal(body):
    scored = understood_or_refused(lambda: scored_sequence(body, TokenSequence("fox", IDS), top=5))
    assert scored is None or scored.logprobs.shape == (3,)


@given(st.sampled_from(VERSIONS).map(lambda v: response_body(v, "pooling_float_token_ids")).flatmap(altered))
def test_any_numbers_are_hidden_states_or_a_refusal(body):
    found = understood_or_refused(lambda: states_from_json(body, sequence_id="fox", token_ids=IDS[:2]))
    assert found is None or found.states.shape[0] == 2


@given(
    st.sampled_from(VERSIONS)
    .map(lambda v: json.loads(transcript(v, "pooling_bytes")["response"]["headers"]["metadata"]))
    .flatmap(altered),
    st.integers(0, 1100).map(bytes),
)
def test_any_metadata_are_hidden_states_or_a_refusal(metadata, body):
    headers = {"metadata": json.dumps(metadata)}
    whole = base64.b64decode(response_body("0.32.0", "pooling_base64")["data"][0]["data"])
    for sent in (body, whole):
        understood_or_refused(
            lambda sent=sent: states_from_bytes(headers, sent, sequence_id="x", token_ids=IDS)
        )


SHAPE = '{"data": [{"embed_dtype": "float32", "shape": %s}]}'


@pytest.mark.parametrize(
    "metadata",
    ["[" * 90_000, "9" * 90_000, "{", "", "NaN", SHAPE % "[1e999, 1]", SHAPE % "[NaN, 1]",
     SHAPE % "[true, 1]", SHAPE % f"[{10**400}, 0]", SHAPE % '["4", "64"]'],
)  # fmt: skip
def test_metadata_that_are_hardly_json_are_refused(metadata):
    with pytest.raises(DialectError, match="the metadata header is"):
        states_from_bytes({"metadata": metadata}, b"", sequence_id="x", token_ids=IDS)


def test_numbers_that_float32_cannot_hold_are_not_finite():
    with pytest.raises(DialectError, match="position 0 is not finite"):
        states_from_json({"data": [{"data": [[3.5e38], [1.0]]}]}, sequence_id="x", token_ids=(1, 2))


def test_numbers_that_no_float_holds_are_refused():
    with pytest.raises(DialectError, match="expected one vector a token"):
        states_from_json({"data": [{"data": [[10**400], [1.0]]}]}, sequence_id="x", token_ids=(1, 2))


@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
@pytest.mark.parametrize("count", [-1, 2**31, 10**4000])
def test_a_count_that_nobody_counted_is_refused(name, count):
    stream = StreamedGeneration(64)
    usage = {**USAGE["usage"], name: count}
    with pytest.raises(DialectError, match=r"usage counts .* expected a number from 0 on"):
        stream.take(json.dumps({**USAGE, "usage": usage}))


@pytest.mark.parametrize("depth", [100, 500, 800, *range(880, 1000, 5), 5000, 100_000])
def test_json_of_any_depth_is_refused_in_words(depth):
    deep = "[" * depth + "1" + "]" * depth
    for event in (f'{{"choices": {deep}}}', f'{{"error": {deep}}}', f'{{"usage": {deep}}}', deep):
        assert understood_or_refused(lambda event=event: StreamedGeneration(64).take(event)) is None
    assert len(refusal_text(deep.encode())) <= 200
    for parse in (served_models, lambda body: states_from_json(body, sequence_id="x", token_ids=(1,))):
        for body in (deep, f'{{"data": {deep}}}', f'{{"data": [{{"data": {deep}, "id": {deep}}}]}}'):
            assert understood_or_refused(lambda p=parse, b=body: p(Answer({}, b.encode()).json())) is None


@given(st.sampled_from(VERSIONS).map(lambda v: response_body(v, "models")).flatmap(altered))
def test_any_list_of_models_is_one_or_a_refusal(body):
    for model in understood_or_refused(lambda: served_models(body)) or ():
        assert model.id.isprintable()
        assert 0 < len(model.id) <= 256
        assert model.max_model_len is None or 0 < model.max_model_len < 2**31


@given(st.one_of(JSON, st.sampled_from(REFUSALS).flatmap(altered)), st.booleans())
def test_any_refusal_is_quoted_on_one_short_line(body, encoded):
    said = refusal_text(json.dumps(body).encode() if encoded else body)
    assert len(said) <= 200
    assert said.isprintable()


@given(st.binary(max_size=300), st.sampled_from(["", "text/html", "application/json"]))
def test_any_bytes_of_a_refusal_are_quoted_on_one_short_line(body, content_type):
    said = refusal_text(body, content_type)
    assert len(said) <= 200
    assert said.isprintable()
