"""Tokens in the server's own words, which chat tells beside the ids."""

import json

import pytest
from wire_transcripts import VERSIONS, sse_chunks

from pytest_gptoss.client.generation import StreamedGeneration
from pytest_gptoss.model.token_text import token_text


def put_together(chunks):
    stream = StreamedGeneration(64)
    for chunk in chunks:
        stream.take(json.dumps(chunk))
    return stream.finished(prompt_id="p", top=1, done=True)


def spelt(change):
    """A recorded chat answer whose first token's entry is changed."""
    chunks = sse_chunks("0.32.0", "chat_stream_logprobs_token_ids")
    entries = (
        choice["logprobs"]["content"][0]
        for chunk in chunks
        for choice in chunk["choices"]
        if choice.get("logprobs") and choice["logprobs"].get("content")
    )
    change(next(entries))
    return put_together(chunks)


@pytest.mark.parametrize("version", VERSIONS)
def test_both_generations_of_vllm_tell_the_words_of_chat(version):
    answer = put_together(sse_chunks(version, "chat_stream_logprobs_token_ids"))
    assert answer.words == tuple(map(token_text, answer.token_ids))


@pytest.mark.parametrize("version", VERSIONS)
def test_completions_tell_none(version):
    assert put_together(sse_chunks(version, "completion_stream_token_ids")).words is None


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        [0xE4, 0xB8],
        [239, 191, 189],
        [300],
        [-1],
        [True, 3],
        "text",
        [97] * 257,
        list(b"token_id:200005"),
    ],
)
def test_what_is_no_word_is_not_told(told):
    assert spelt(lambda entry: entry.update(bytes=told)).words[:2] == (None, "analysis")


def test_a_word_of_another_vocabulary_is_kept_as_it_is():
    assert spelt(lambda entry: entry.update(bytes=list("上".encode()))).words[0] == "上"


def test_bytes_that_are_absent_are_not_told():
    assert spelt(lambda entry: entry.pop("bytes")).words[:2] == (None, "analysis")
