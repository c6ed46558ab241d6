"""OpenAI's own client against the embedded pair: what works there works for ordinary users."""

import json

import openai
import pytest

MODEL = "gpt-oss-20b"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city name"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def client(embedded_pair):
    with openai.OpenAI(base_url=f"{embedded_pair['gpu']}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_it_lists_the_model(client):
    (model,) = client.models.list()
    assert model.id == MODEL


def test_chat(client):
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0)
    choice = answer.choices[0]
    assert "Paris" in choice.message.content
    assert choice.message.reasoning
    assert choice.finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0


def test_a_stream_says_the_same(client):
    whole = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0)
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=QUESTION, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    message = whole.choices[0].message
    assert "".join(delta.content or "" for delta in deltas) == message.content
    assert "".join(getattr(delta, "reasoning", "") or "" for delta in deltas) == message.reasoning
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert len(deltas) > 10


def test_a_tool_call_and_its_result(client):
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    asked = client.chat.completions.create(model=MODEL, messages=messages, temperature=0, tools=[WEATHER])
    assert asked.choices[0].finish_reason == "tool_calls"
    (call,) = asked.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"temp_c": 21}'}
    turns = [*messages, asked.choices[0].message.model_dump(exclude_none=True), result]
    answered = client.chat.completions.create(
        model=MODEL, messages=turns, temperature=0, tools=[WEATHER], max_tokens=32
    )
    assert answered.usage.prompt_tokens > asked.usage.prompt_tokens


def test_without_a_tool_none_is_called(client):
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    (choice,) = client.chat.completions.create(model=MODEL, messages=messages, temperature=0).choices
    assert choice.message.tool_calls in (None, [])
    assert choice.finish_reason == "stop"
    assert "Paris" in choice.message.content


def test_a_streamed_tool_call_is_the_same_call(client):
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    options = {"model": MODEL, "messages": messages, "temperature": 0, "tools": [WEATHER]}
    whole = client.chat.completions.create(**options).choices[0].message.tool_calls[0].function
    deltas = [
        call.function
        for chunk in client.chat.completions.create(**options, stream=True)
        for call in chunk.choices[0].delta.tool_calls or []
    ]
    assert [each.name for each in deltas if each.name] == [whole.name]
    assert json.loads("".join(each.arguments for each in deltas)) == json.loads(whole.arguments)


def test_logprobs(client):
    answer = client.chat.completions.create(
        model=MODEL, messages=QUESTION, temperature=0, logprobs=True, top_logprobs=2, max_tokens=12
    )
    scores = answer.choices[0].logprobs.content
    assert len(scores) == answer.usage.completion_tokens == 12
    assert all(each.top_logprobs[0].logprob == each.logprob <= 0 for each in scores)
    assert all(len(each.top_logprobs) == 2 for each in scores)


def test_text_completion(client):
    answer = client.completions.create(
        model=MODEL, prompt=[200006, 1428, 200008], max_tokens=4, temperature=0
    )
    assert answer.usage.completion_tokens <= 4
    assert answer.choices[0].finish_reason in {"length", "stop"}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError),
        ({"temperature": -1}, openai.BadRequestError),
        ({"messages": [{"role": "user", "content": "fox " * 200_000}]}, openai.BadRequestError),
    ],
)
def test_errors_arrive_as_the_client_knows_them(client, options, error):
    with pytest.raises(error) as caught:
        client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, **options})
    assert caught.value.body["message"]


def test_the_pair_gets_one_prompt(embedded_pair):
    prompts = []
    for url in embedded_pair.values():
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            answer = client.chat.completions.create(
                model=MODEL, messages=QUESTION, max_tokens=1, extra_body={"return_token_ids": True}
            )
        prompts.append(answer.prompt_token_ids)
    assert prompts[0] == prompts[1]
    assert len(prompts) == 2
