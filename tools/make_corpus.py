"""Make the parts of fixtures/prompts and fixtures/corpus that are made, not written.

    python tools/make_corpus.py                      rewrite them from their sources
    python tools/make_corpus.py --check              write nothing; exit 1 when a file is out of date
    python tools/make_corpus.py --embedded-url URL   also ask the tiny checkpoint anew for its answers

What is made: the haystack prompts in both prompt sets (the others are written by hand in the same files
and stay as they are), the default corpus from fixtures/corpus/texts, the long sequences of both profiles,
and the embedded corpus: prose, and every embedded prompt with the answer the tiny checkpoint gives to it,
which must be the one it was taught (``tiny/domain.py``); open prompts have none and are left out. URL is a
server of that checkpoint in float32 (``python -m pytest_gptoss.reference --model tiny``); without it the
answers on file are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import httpx
from openai_harmony import (
    Conversation,
    HarmonyEncoding,
    HarmonyEncodingName,
    HarmonyError,
    Message,
    ReasoningEffort,
    Role,
    SystemContent,
    load_harmony_encoding,
)
from tiny import domain

from pytest_gptoss.model.gptoss import CALL, MESSAGE, RETURN
from pytest_gptoss.model.inputs import Prompt
from pytest_gptoss.model.paths import COMPLETIONS_PATH
from pytest_gptoss.scenarios import prompts, prose

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
TEXTS = FIXTURES / "corpus" / "texts"
START_DATE = "2026-01-01"
MAX_TOKENS = 256
STOP_TOKENS = (RETURN, CALL)

Entry = dict[str, Any]


class OutOfDateError(Exception):
    """What is on file does not follow from its sources, or an answer is not what it must be."""


# -- recipes ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Haystack:
    """A prompt of ``tokens`` tokens of prose with facts at given depths (0 to 1), and a question last."""

    id: str
    tags: str
    seed: int
    tokens: int
    facts: tuple[tuple[float, str], ...]
    question: str
    language: domain.Language = "en"


def _needle(language: domain.Language, length: int, key: int, value: str, depth: float) -> Haystack:
    name = (domain.KEYS if language == "en" else domain.KEYS_ZH)[key]
    asked = domain.ask_needle(language, name, value, "medium")
    return Haystack(
        f"needle-{language}-{length:04d}",
        f"needle {TAGS[language]}",
        20_000 + length,
        length,
        ((depth, asked.final),),
        asked.question,
        language,
    )


TAGS: dict[domain.Language, str] = {"en": "english", "zh": "chinese"}


DEFAULT_HAYSTACKS = (
    Haystack(
        "long-2k-ferry",
        "english recall long-2k",
        1,
        2_200,
        ((0.35, "The ferry to the island leaves from pier seven at half past six."),),
        "From which pier does the ferry to the island leave, and at what time?",
    ),
    Haystack(
        "long-2k-keys",
        "english chinese recall long-2k",
        2,
        2_400,
        ((0.8, "Martha keeps the spare keys in a blue teapot on the second shelf."),),
        "请用中文回答：文章里说 Martha 把备用钥匙放在哪里？",
    ),
    Haystack(
        "long-8k-painting",
        "english recall reasoning long-8k",
        3,
        8_300,
        (
            (0.1, "The museum bought the painting of the harbour in 1962 for four thousand crowns."),
            (0.6, "In 1987 the museum sold the painting of the harbour for nine times that price."),
        ),
        "In which year did the museum sell the painting of the harbour, and for how many crowns?",
    ),
    Haystack(
        "long-8k-choir",
        "english recall long-8k",
        4,
        8_800,
        ((0.5, "The choir of the old town has forty-three members, and its conductor is called Adela."),),
        "How many members does the choir have, and who conducts it?",
    ),
)

EMBEDDED_HAYSTACKS = (
    _needle("en", 60, 4, "9034", 1.0),
    _needle("en", 120, 6, "77120", 0.5),
    _needle("en", 320, 5, "318", 0.75),
    _needle("en", 700, 1, "8105", 0.4),
    _needle("en", 1400, 3, "6152", 0.2),
    _needle("zh", 200, 0, "7842", 0.25),
    _needle("zh", 500, 2, "4417", 0.0),
    _needle("zh", 1000, 5, "3306", 0.6),
)

EMBEDDED_PROSE: dict[domain.Language, tuple[int, ...]] = {"en": (12, 16, 24, 80), "zh": (12, 16, 20, 40)}
"""Sentences in each sequence of plain prose in the embedded corpus."""

LONG_DEFAULT = tuple(range(6_400, 8_000, 300))
"""Tokens of the default profile's long sequences: three edges of chunks of 2,048, with 128 on each side."""
LONG_EMBEDDED = 1_672
"""The same for chunks of 512, no longer than that takes: each token costs the embedded pair time."""
LONG_LANGUAGES: tuple[domain.Language, ...] = ("en", "zh") * 3

OPEN = "open"
"""Tag of the embedded prompts that ask for one of two things, so that two answers are equally good."""


# -- making -----------------------------------------------------------------------------------


@cache
def encoding() -> HarmonyEncoding:
    """Load the o200k_harmony encoding from the shipped vocabulary."""
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = str(FIXTURES / "tiny-gpt-oss")
    return load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)


def prompt_entries(path: Path, haystacks: Iterable[Haystack]) -> list[Entry]:
    """Put the haystacks behind the hand-written prompts of the file."""
    made = {haystack.id: haystack_entry(haystack) for haystack in haystacks}
    written = [entry for entry in read(path) if entry["id"] not in made]
    return written + list(made.values())


def haystack_entry(haystack: Haystack) -> Entry:
    """Build a haystack's prompt: whole sentences until its tokens are reached, the facts among them."""
    room = haystack.tokens - count(haystack.question) - sum(count(fact) for _, fact in haystack.facts)
    straw = list(_sentences_of(room, haystack.seed, haystack.language))
    text = f"{domain.hide(straw, haystack.facts, haystack.language)}\n\n{haystack.question}"
    return {"id": haystack.id, "tags": haystack.tags.split(), "prompt": text}


def _sentences_of(tokens: int, seed: int, language: domain.Language) -> Iterator[str]:
    for sentence in prose.sentences(seed, language):
        tokens -= count(prose.join(("", sentence), language))
        if tokens < 0:
            return
        yield sentence


def count(text: str) -> int:
    """Count the tokens of plain text."""
    return len(tokens(text))


def tokens(text: str) -> list[int]:
    """Encode plain text; what looks like a special token in it stays text."""
    return list(encoding().encode(text, disallowed_special=()))


def default_corpus() -> list[Entry]:
    """Encode the passages under fixtures/corpus/texts."""
    return [
        {"id": id, "tags": tags, "text": text, "token_ids": tokens(text), "first": 1}
        for language in ("english", "chinese", "code")
        for id, tags, text in passages(language)
    ]


def passages(language: str) -> Iterator[tuple[str, list[str], str]]:
    """Read a file of passages; each begins with a line ``=== id tag tag``."""
    blocks = re.split(r"^=== ", (TEXTS / f"{language}.txt").read_text("utf-8"), flags=re.MULTILINE)
    for block in blocks[1:]:
        head, text = block.split("\n", 1)
        id, *tags = head.split()
        yield id, [language, *tags], text.strip("\n")


def long_default() -> list[Entry]:
    """Join the passages, each sequence beginning with another; each has its own order of languages."""
    texts = [list(passages(language)) for language in ("english", "chinese", "code")]
    made = []
    for number, size in enumerate(LONG_DEFAULT):
        turned = [each[(5 * number) % len(each) :] + each[: (5 * number) % len(each)] for each in texts]
        order = turned[number % 3 :] + turned[: number % 3]
        joined = "\n\n".join(text for row in zip_longest(*order) for _, _, text in filter(None, row))
        made.append(long_sequence(number, tokens(joined)[:size], size))
    return made


def long_embedded() -> list[Entry]:
    """Take prose in a user's message, in both languages by turns."""
    return [
        long_sequence(number, prose_tokens(31_000 + number, 220, language)[0][:LONG_EMBEDDED], LONG_EMBEDDED)
        for number, language in enumerate(LONG_LANGUAGES)
    ]


def long_sequence(number: int, token_ids: list[int], size: int) -> Entry:
    """Write a long sequence down; its text would be long."""
    if len(token_ids) != size:
        raise OutOfDateError(f"long-{number + 1}: {len(token_ids)} tokens, {size} are needed: add sentences")
    return {
        "id": f"long-{number + 1}",
        "tags": ["long"],
        "text": "(joined)",
        "token_ids": token_ids,
        "first": 1,
    }


def embedded_corpus(answers: dict[str, list[int]]) -> list[Entry]:
    """Make prose in a user's message, then each embedded prompt with its answer."""
    made = [
        sequence(
            f"prose-{language}-{number}",
            ["prose", TAGS[language]],
            *prose_tokens(30_000 + number, size, language),
        )
        for language, sizes in EMBEDDED_PROSE.items()
        for number, size in enumerate(sizes, start=1)
    ]
    for prompt in taught_prompts():
        rendered = render(prompt)
        answer = answers.get(prompt.id)
        if answer is None:
            raise OutOfDateError(f"{prompt.id}: the embedded corpus has no answer to it; use --embedded-url")
        made.append(sequence(prompt.id, list(prompt.tags), rendered + answer, len(rendered)))
    return made


def taught_prompts() -> tuple[Prompt, ...]:
    """The embedded prompts whose answers were taught; an open prompt has no right answer."""
    loaded = prompts.load_file(FIXTURES / "prompts" / "embedded.json").prompts
    return tuple(prompt for prompt in loaded if OPEN not in prompt.tags)


def sequence(id: str, tags: list[str], token_ids: list[int], first: int) -> Entry:
    """Write a corpus entry down, with the text its ids stand for."""
    return {
        "id": id,
        "tags": tags,
        "text": encoding().decode(token_ids),
        "token_ids": token_ids,
        "first": first,
    }


def prose_tokens(seed: int, size: int, language: domain.Language) -> tuple[list[int], int]:
    """Encode ``size`` sentences as a user's message, still open at its end, and say where they begin."""
    frame = conversation([("user", "")])
    start = len(frame) - frame[::-1].index(MESSAGE)
    return frame[:start] + tokens(prose.text(seed, size, language)), start


def render(prompt: Prompt) -> list[int]:
    """Render a prompt as a server does, up to where the assistant begins."""
    return conversation([(message.role, message.content) for message in prompt.messages])


def conversation(turns: list[tuple[str, str]]) -> list[int]:
    """Render turns of a user and an assistant behind the system message of a fixed day."""
    system = (
        SystemContent.new()
        .with_conversation_start_date(START_DATE)
        .with_reasoning_effort(ReasoningEffort.MEDIUM)
    )
    messages = [Message.from_role_and_content(Role.SYSTEM, system)]
    for role, content in turns:
        message = Message.from_role_and_content(Role(role), content)
        messages.append(message.with_channel("final") if role == "assistant" else message)
    return list(
        encoding().render_conversation_for_completion(Conversation.from_messages(messages), Role.ASSISTANT)
    )


# -- answers ----------------------------------------------------------------------------------


def answers_on_file(path: Path) -> dict[str, list[int]]:
    """Take the answers out of an embedded corpus: the scored part of every sequence, by prompt id."""
    return {entry["id"]: entry["token_ids"][entry["first"] :] for entry in read(path)}


def answers_of_server(url: str) -> dict[str, list[int]]:
    """Ask a server greedily, with the token ids rendered here, so that its date does not matter."""
    with httpx.Client(base_url=url.rstrip("/").removesuffix("/v1"), timeout=120.0, trust_env=False) as client:
        model = client.get("/v1/models").raise_for_status().json()["data"][0]["id"]
        return {prompt.id: _answer(client, model, prompt) for prompt in taught_prompts()}


def _answer(client: httpx.Client, model: str, prompt: Prompt) -> list[int]:
    request = {
        "model": model,
        "prompt": render(prompt),
        "max_tokens": MAX_TOKENS,
        "temperature": 0,
        "return_token_ids": True,
    }
    choice = client.post(COMPLETIONS_PATH, json=request).raise_for_status().json()["choices"][0]
    return list(choice["token_ids"])


def faults(answers: dict[str, list[int]]) -> Iterator[str]:
    """Say of each embedded prompt whose answer is not whole, not well formed, or wrong what is the matter."""
    for prompt in taught_prompts():
        answer = answers.get(prompt.id, [])
        if not answer or answer[-1] not in STOP_TOKENS:
            yield f"{prompt.id}: the answer has no end within {MAX_TOKENS} tokens"
            continue
        try:
            said = encoding().parse_messages_from_completion_tokens(answer, Role.ASSISTANT)[-1]
        except HarmonyError as error:
            yield f"{prompt.id}: the answer is no harmony ({error})"
            continue
        text = "".join(part.text for part in said.content)
        if said.channel != "final" or text != taught(prompt):
            yield f"{prompt.id}: {taught(prompt)!r} was taught, the {said.channel} message is {text!r}"


def taught(prompt: Prompt) -> str:
    """What the tiny checkpoint was taught to answer to a prompt; it must be a question of its domain."""
    asked = prompt.messages[-1].content
    for language in TAGS:
        answers = {turn.question: turn.final for turn in domain.question_turns(language, "medium")}
        if asked in answers:
            return answers[asked]
        for city in domain.CITIES if language == "en" else domain.CITIES_ZH:
            if "weather" in prompt.tags and city in asked:
                return domain.weather_turn(asked, city, language, "medium", tool=False).final
    for haystack in EMBEDDED_HAYSTACKS:
        if haystack.id == prompt.id:
            return haystack.facts[0][1]
    raise OutOfDateError(f"{prompt.id}: {asked!r} is no question of the domain, see tools/tiny/domain.py")


# -- files ------------------------------------------------------------------------------------


def read(path: Path) -> list[Entry]:
    """Read the list a fixture holds; no file is an empty list."""
    entries: list[Entry] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return entries


def written(entries: Iterable[Entry]) -> str:
    """Write a list as JSON, an entry a line, so that a change shows as the lines it touches."""
    return "[\n" + ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n]\n"


def put(path: Path, entries: list[Entry], *, check: bool) -> None:
    """Write the entries, or with ``check`` compare them to the file."""
    text = written(entries)
    if not check:
        path.write_text(text, "utf-8")
    elif not path.exists() or path.read_text("utf-8") != text:
        name = path.relative_to(FIXTURES)
        raise OutOfDateError(f"{name} does not follow from its sources; run python tools/make_corpus.py")
    sys.stdout.write(f"{path.relative_to(FIXTURES)}: {len(entries)} entries\n")


def main(arguments: list[str] | None = None) -> int:
    """Make or check everything, in the order in which one thing is made from another."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="write nothing, compare")
    choice.add_argument("--embedded-url", metavar="URL", help="a server of the tiny checkpoint")
    options = parser.parse_args(arguments)
    try:
        for name, haystacks in (("default", DEFAULT_HAYSTACKS), ("embedded", EMBEDDED_HAYSTACKS)):
            path = FIXTURES / "prompts" / f"{name}.json"
            put(path, prompt_entries(path, haystacks), check=options.check)
        put(FIXTURES / "corpus" / "default.json", default_corpus(), check=options.check)
        put(FIXTURES / "corpus" / "long-default.json", long_default(), check=options.check)
        put(FIXTURES / "corpus" / "long-embedded.json", long_embedded(), check=options.check)
        path = FIXTURES / "corpus" / "embedded.json"
        url = options.embedded_url
        answers = answers_of_server(url) if url else answers_on_file(path)
        if wrong := list(faults(answers)):
            raise OutOfDateError("\n".join([*wrong, f"{len(wrong)} answers are not as they must be"]))
        put(path, embedded_corpus(answers), check=options.check)
    except OutOfDateError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except httpx.HTTPError as error:
        sys.stderr.write(f"{options.embedded_url}: {error}; it must be a reference server's address\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
