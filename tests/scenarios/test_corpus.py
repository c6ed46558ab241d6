from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gptoss.model import resources
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.inputs import TokenSequence
from pytest_gptoss.scenarios import corpus

ROOT = Path(__file__).resolve().parents[2]
GOOD = {"id": "a", "tags": ["x"], "text": "Hello there", "token_ids": [1, 2, 3], "first": 1}


def parse(value):
    return corpus.parse(value, origin="corpus.json", name="corpus")


def test_sequences_load():
    assert parse([GOOD]).sequences == (TokenSequence("a", (1, 2, 3), first=1, tags=("x",)),)


def test_the_hash_is_of_the_sequences_and_not_of_the_text():
    base = parse([GOOD]).sha256

    assert parse([{**GOOD, "text": "Other words"}]).sha256 == base
    assert parse([{**GOOD, "token_ids": [1, 2, 4]}]).sha256 != base
    assert parse([{**GOOD, "first": 2}]).sha256 != base


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"token_ids": [1]}, "token_ids: at least two ids"),
        ({"token_ids": "12"}, "token_ids: at least two ids"),
        ({"token_ids": [1, -1]}, "token_ids[1]: -1 is no token id; ids are whole numbers from 0 to 201087"),
        ({"token_ids": [201_088, 1]}, "token_ids[0]: 201088 is no token id"),
        ({"token_ids": [1, True]}, "token_ids[1]: true is no token id"),
        ({"token_ids": [1, 2.0]}, "token_ids[1]: 2.0 is no token id"),
        ({"first": 0}, "first: 0 is no position to score from; with 3 ids: 1 to 2"),
        ({"first": 3}, "first: 3 is no position"),
        ({"first": True}, "first: true is no position"),
        ({"first": None}, "first: null is no position"),
        ({"text": ""}, "text: the text is empty"),
        ({"tags": None}, "tags: null is no list"),
        ({"id": ""}, "id: the text is empty"),
        ({"note": 1}, 'unknown key "note"'),
    ],
)
def test_a_fault_is_named_with_file_entry_and_field(change, fault):
    with pytest.raises(UsageError) as caught:
        parse([{**GOOD, "id": "first"}, {**GOOD, **change}])

    assert str(caught.value).startswith("corpus.json: entry 2")
    assert fault in str(caught.value)


@pytest.mark.parametrize("key", list(GOOD))
def test_every_key_is_needed(key):
    with pytest.raises(UsageError, match=f"{key}: it is missing"):
        parse([{name: value for name, value in GOOD.items() if name != key}])


@pytest.mark.parametrize("entry", [5, "text", None, [1, 2]])
def test_an_entry_that_is_no_object_is_refused(entry):
    with pytest.raises(UsageError, match=r"entry 1: .* is no sequence"):
        parse([entry])


def test_ids_must_differ():
    with pytest.raises(UsageError, match=r'entry 2 .*"a" comes twice'):
        parse([GOOD, GOOD])


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())
entries = st.fixed_dictionaries({}, optional={key: values | st.just(GOOD[key]) for key in GOOD})


@settings(deadline=None)
@given(values | st.lists(entries | values, max_size=3))
def test_any_json_is_a_corpus_or_a_usage_error(value):
    try:
        loaded = parse(value)
    except UsageError as error:
        loaded = error

    if isinstance(loaded, UsageError):
        assert str(loaded).startswith("corpus.json: ")
    else:
        assert all(1 <= sequence.first < len(sequence.token_ids) for sequence in loaded.sequences)


# -- the shipped corpora ----------------------------------------------------------------------


def test_the_default_corpus_covers_what_it_must():
    sequences = corpus.load_shipped("default").sequences
    languages = Counter(sequence.tags[0] for sequence in sequences)

    assert len(sequences) >= 60
    assert set(languages) == {"english", "chinese", "code"}
    assert min(languages.values()) >= 15
    assert all(100 <= len(sequence.token_ids) <= 400 and sequence.first == 1 for sequence in sequences)


def test_the_embedded_corpus_scores_answers_and_prose():
    sequences = corpus.load_shipped("embedded").sequences
    plain = [sequence for sequence in sequences if "prose" in sequence.tags]
    answers = [sequence for sequence in sequences if "prose" not in sequence.tags]
    start_of_assistant = (200006, 173781)

    assert len(sequences) >= 70
    assert {tag for sequence in sequences for tag in sequence.tags} >= {"english", "chinese"}
    assert len(plain) == 8
    assert max(len(sequence.token_ids) for sequence in sequences) <= 2_048
    for sequence in answers:
        assert sequence.token_ids[sequence.first - 2 : sequence.first] == start_of_assistant
        assert sequence.token_ids[-1] == 200002


@pytest.mark.parametrize("name", ["default", "embedded"])
def test_the_text_is_what_the_ids_stand_for(name, harmony):
    entries = json.loads(resources.fixture("corpus", f"{name}.json").read_text("utf-8"))

    for entry in entries:
        assert harmony.decode(entry["token_ids"]) == entry["text"], entry["id"]


# -- the tool that makes them -----------------------------------------------------------------


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, root / "tools" / "make_corpus.py", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def workshop(tmp_path):
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    return tmp_path


def test_the_fixtures_follow_from_their_sources():
    done = run(ROOT, "--check")

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("entries") == 6


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("corpus/texts/english.txt", "patient boaters", "hasty boaters", "corpus/default.json"),
        ("prompts/default.json", "pier seven", "pier eight", "prompts/default.json"),
        ("prompts/embedded.json", "What is water made of?", "What is milk made of?", "question-en-13"),
        ("corpus/embedded.json", '"first": ', '"first": 1', "question-en-02"),
    ],
)
def test_the_check_finds_what_was_changed(workshop, file, old, new, named):
    path = workshop / "fixtures" / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")

    done = run(workshop, "--check")

    assert done.returncode == 1
    assert named in done.stderr


def test_the_embedded_answers_are_those_of_the_checkpoint(workshop, embedded_pair):
    prompts = workshop / "fixtures" / "prompts" / "embedded.json"
    prompts.write_text(json.dumps(json.loads(prompts.read_text("utf-8"))[::4]), "utf-8")
    remade = workshop / "fixtures" / "corpus" / "embedded.json"
    remade.unlink()

    done = run(workshop, "--embedded-url", embedded_pair["gpu"])

    assert done.returncode == 0, done.stderr
    shipped = json.loads(resources.fixture("corpus", "embedded.json").read_text("utf-8"))
    asked = {prompt["id"] for prompt in json.loads(prompts.read_text("utf-8"))}  # needles it makes itself
    assert json.loads(remade.read_text("utf-8")) == [
        each for each in shipped if each["id"] in asked or each["tags"][0] == "prose"
    ]


def test_a_server_that_is_not_there_is_named(workshop, unused_tcp_port):
    url = f"http://127.0.0.1:{unused_tcp_port}"

    done = run(workshop, "--embedded-url", url)

    assert done.returncode == 1
    assert done.stderr.startswith(f"{url}: ")
    assert done.stderr.count("\n") == 1
