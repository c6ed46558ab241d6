from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gptoss.model import resources
from pytest_gptoss.model.errors import GptossError, UsageError
from pytest_gptoss.model.inputs import Message, Prompt, PromptSet
from pytest_gptoss.scenarios import prompts


def parse(value):
    return prompts.parse(value, origin="set.json", name="set")


def test_a_list_of_strings_loads():
    loaded = parse(["What is 2 + 2?", "你好"])

    assert loaded.prompts == (
        Prompt("prompt-001", (Message("user", "What is 2 + 2?"),)),
        Prompt("prompt-002", (Message("user", "你好"),)),
    )


def test_objects_and_strings_stand_in_one_list():
    loaded = parse(
        [
            "Hello",
            {"id": "one", "prompt": "Why?", "max_tokens": 16, "tags": ["short", "english"]},
            {
                "id": "two",
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Hello!"},
                    {"role": "user", "content": "Bye"},
                ],
            },
        ]
    )

    assert loaded.prompts == (
        Prompt("prompt-001", (Message("user", "Hello"),)),
        Prompt("one", (Message("user", "Why?"),), max_tokens=16, tags=("short", "english")),
        Prompt("two", (Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Bye"))),
    )


def test_equal_sets_hash_equal_and_any_change_shows():
    base = {"id": "a", "prompt": "Hi", "max_tokens": 5, "tags": ["x"]}
    spelled_out = {
        "tags": ["x"],
        "max_tokens": 5,
        "messages": [{"content": "Hi", "role": "user"}],
        "id": "a",
    }
    changed = [{**base, key: value} for key, value in
               (("id", "b"), ("prompt", "Ho"), ("max_tokens", 6), ("tags", ["y"]))]  # fmt: skip

    assert parse([base]).sha256 == parse([spelled_out]).sha256
    assert len({parse([entry]).sha256 for entry in [base, *changed]}) == 5


USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (7, "entry 2: 7 is no prompt; write a string or an object"),
        (None, "entry 2: null is no prompt; write a string or an object"),
        (" \n", "entry 2: the text is empty"),
        ("half \ud83d", r"entry 2: character 6 is \ud83d, half a surrogate pair"),
        ({"prompt": "Hi"}, "entry 2: id: it is missing"),
        ({"id": 3, "prompt": "Hi"}, "entry 2: id: 3 is not text"),
        ({"id": "", "prompt": "Hi"}, 'entry 2 (id ""): id: the text is empty'),
        ({"id": "a\tb", "prompt": "Hi"}, 'entry 2 (id "a\\tb"): id: "a\\tb" holds a character that cannot'),
        (
            {"id": "a", "prompt": "Hi", "tokens": 3},
            'entry 2 (id "a"): unknown key "tokens"; the keys are id, ',
        ),
        ({"id": "a"}, "prompt, messages: neither is there; write exactly one"),
        ({"id": "a", "prompt": "Hi", "messages": [USER]}, "prompt, messages: both are there; write exactly"),
        ({"id": "a", "prompt": ""}, "prompt: the text is empty"),
        ({"id": "a", "prompt": ["Hi"]}, "prompt: a list is not text"),
        ({"id": "a", "messages": []}, "messages: an empty list is no conversation"),
        ({"id": "a", "messages": "Hi"}, 'messages: "Hi" is no conversation'),
        ({"id": "a", "messages": [USER, "Hi"]}, 'messages[1]: "Hi" is no message'),
        ({"id": "a", "messages": [{"role": "user"}]}, "messages[0].content: it is missing"),
        ({"id": "a", "messages": [{"content": "Hi"}]}, "messages[0].role: it is missing"),
        ({"id": "a", "messages": [{**USER, "name": "x"}]}, 'messages[0]: unknown key "name"'),
        (
            {"id": "a", "messages": [{**USER, "role": "tool"}]},
            'messages[0].role: "tool" is no role; the roles',
        ),
        ({"id": "a", "messages": [{**USER, "role": ["user"]}]}, "messages[0].role: a list is no role"),
        ({"id": "a", "messages": [{**USER, "content": None}]}, "messages[0].content: null is not text"),
        ({"id": "a", "messages": [{**USER, "content": " "}]}, "messages[0].content: the text is empty"),
        ({"id": "first", "prompt": "Hi"}, 'id: "first" is entry 1\'s already; ids must differ'),
        ({"id": "a", "prompt": "Hi", "max_tokens": 0}, "max_tokens: 0 is no whole number of at least 1"),
        ({"id": "a", "prompt": "Hi", "max_tokens": True}, "max_tokens: true is no whole number"),
        ({"id": "a", "prompt": "Hi", "max_tokens": 2.0}, "max_tokens: 2.0 is no whole number"),
        ({"id": "a", "prompt": "Hi", "max_tokens": None}, "max_tokens: null is no whole number"),
        ({"id": "a", "prompt": "Hi", "tags": "x"}, 'tags: "x" is no list'),
        ({"id": "a", "prompt": "Hi", "tags": ["x", 1]}, "tags[1]: 1 is not text"),
    ],
)
def test_a_fault_is_named_with_file_entry_and_field(entry, fault):
    with pytest.raises(UsageError) as caught:
        parse([{"id": "first", "prompt": "Hi"}, entry])

    message = str(caught.value)
    assert message.startswith("set.json: entry 2")
    assert fault in message
    assert message.isprintable()


def test_a_strings_own_id_must_be_free_too():
    with pytest.raises(UsageError, match='"prompt-002" is entry 1\'s already'):
        parse([{"id": "prompt-002", "prompt": "Hi"}, "Ho"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)
message_like = st.dictionaries(
    st.sampled_from(["role", "content"]), json_values | st.sampled_from(prompts.ROLES)
)
entry_like = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=3) | json_values,
        "prompt": json_values,
        "messages": st.lists(message_like | json_values, max_size=3) | json_values,
        "max_tokens": json_values,
        "tags": st.lists(st.text(max_size=3)) | json_values,
    },
)


def outcome(load):
    try:
        return load()
    except UsageError as error:
        return error


@settings(deadline=None)
@given(json_values | st.lists(st.text() | entry_like | json_values, max_size=4))
def test_any_json_is_a_prompt_set_or_a_usage_error(value):
    loaded = outcome(lambda: parse(value))

    if isinstance(loaded, UsageError):
        assert str(loaded).startswith("set.json: ")
        assert str(loaded).isprintable()
    else:
        assert isinstance(loaded, PromptSet)
        assert len(loaded.prompts) == len(value)
        json.dumps([message.content for prompt in loaded.prompts for message in prompt.messages]).encode()


@settings(deadline=None)
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: json.dumps([text]).encode()))
def test_any_bytes_are_a_prompt_set_or_a_usage_error(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)

    loaded = outcome(lambda: prompts.load_file(path))

    assert isinstance(loaded, PromptSet) or str(loaded).startswith(str(path))


words = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)
names = words.filter(str.isprintable)
well_formed = st.lists(
    st.builds(
        Prompt,
        names,
        st.lists(st.builds(Message, st.sampled_from(prompts.ROLES), words), min_size=1, max_size=3).map(
            tuple
        ),
        max_tokens=st.none() | st.integers(min_value=1),
        tags=st.lists(names, max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda prompt: prompt.id,
)


@settings(deadline=None)
@given(well_formed)
def test_what_was_written_well_loads_as_it_was_meant(meant):
    value = []
    for prompt in meant:
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        entry = {"id": prompt.id, "messages": messages, "tags": list(prompt.tags)}
        value.append(entry if prompt.max_tokens is None else {**entry, "max_tokens": prompt.max_tokens})

    loaded = parse(json.loads(json.dumps(value)))

    assert loaded == prompts.prompt_set("set", meant)


def test_a_users_file_is_named_after_itself(tmp_path):
    path = tmp_path / "support.json"
    path.write_text('["Hi"]')

    assert prompts.load_file(path).name == "support"
    assert prompts.load_file(path, name="precision").name == "precision"


def test_a_set_that_does_not_ship_is_refused():
    with pytest.raises(GptossError, match=r"prompts/absent\.json"):
        prompts.load_shipped("absent")


# -- the shipped sets -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def default():
    return prompts.load_shipped("default")


@pytest.fixture(scope="module")
def embedded():
    return prompts.load_shipped("embedded")


def asked(prompt):
    return "\n".join(message.content for message in prompt.messages)


def test_the_default_set_covers_what_it_must(default):
    tags = Counter(tag for prompt in default.prompts for tag in prompt.tags)

    assert len(default.prompts) >= 60
    for tag in ("english", "chinese", "code", "mathematics", "dialogue"):
        assert tags[tag] >= 8, tag


def test_no_shipped_prompt_holds_what_vllm_generations_render_differently(default, embedded):
    roles = {
        message.role for each in (default, embedded) for prompt in each.prompts for message in prompt.messages
    }

    assert roles == {"user", "assistant"}
    assert all(prompt.messages[-1].role == "user" for each in (default, embedded) for prompt in each.prompts)


def test_default_dialogues_have_several_turns(default):
    dialogues = [prompt for prompt in default.prompts if "dialogue" in prompt.tags]

    assert all(len(prompt.messages) >= 3 for prompt in dialogues)
    assert all(len(prompt.messages) == 1 for prompt in default.prompts if "dialogue" not in prompt.tags)


def test_default_prompts_cross_the_lengths_that_matter(default, harmony):
    lengths = {prompt.id: len(harmony.encode(asked(prompt))) for prompt in default.prompts}

    assert sum(length > 128 for length in lengths.values()) >= 8
    assert {id for id, length in lengths.items() if 2_048 < length < 8_192} == {
        "long-2k-ferry",
        "long-2k-keys",
    }
    assert {id for id, length in lengths.items() if length > 8_192} == {"long-8k-painting", "long-8k-choir"}


def test_the_embedded_set_stays_short_and_in_the_checkpoints_domain(embedded, harmony):
    known = known_tokens()
    lengths = []
    for prompt in embedded.prompts:
        ids = [token for message in prompt.messages for token in harmony.encode(message.content)]
        assert set(ids) <= known, prompt.id
        lengths.append(len(ids))

    tags = Counter(tag for prompt in embedded.prompts for tag in prompt.tags)
    assert tags["question"] >= 60
    assert min(tags["english"], tags["chinese"]) >= 25
    turns = Counter(len(prompt.messages) for prompt in embedded.prompts if "dialogue" in prompt.tags)
    assert set(turns) == {3, 5}
    assert sum(length > 128 for length in lengths) >= 5
    assert 1_300 < max(lengths) < 1_500


@pytest.mark.parametrize("every", range(1, 11))
def test_one_in_n_of_the_embedded_prompts_holds_few_open_ones(embedded, every):
    """An open prompt may fork and lose half of its ROUGE-L; one prompt in n must pass all the same."""
    chosen = embedded.prompts[::every]
    forked = sum("open" in prompt.tags for prompt in chosen)

    assert forked <= (1 - 0.95) * len(chosen)
    assert 0.5 * forked <= (1 - 0.98) * len(chosen)


def known_tokens() -> set[int]:
    from safetensors import safe_open

    with safe_open(resources.fixture("tiny-gpt-oss", "model.safetensors"), framework="np") as weights:
        return set(weights.get_tensor("used_ids").tolist())
