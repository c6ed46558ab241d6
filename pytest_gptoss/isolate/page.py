"""The result of a search as Markdown, English or Chinese, and as JSON."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

from pytest_gptoss.isolate.search import EAGER, Finding
from pytest_gptoss.isolate.settings import Change, changed
from pytest_gptoss.isolate.trials import StartRecord
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.language import Language
from pytest_gptoss.model.printable import printable
from pytest_gptoss.model.secret_values import masked_words
from pytest_gptoss.model.serve_command import ServeCommand

__all__ = ["document", "page", "words"]


@cache
def words() -> Mapping[str, Mapping[Language, str]]:
    """Every text of the page by its key, in every language."""
    found: Mapping[str, Mapping[Language, str]] = json.loads(
        Path(__file__).with_name("words.json").read_text("utf-8")
    )
    return found


def document(
    finding: Finding,
    records: Sequence[StartRecord],
    *,
    command: ServeCommand,
    changes: Mapping[str, Change],
    remedies: Sequence[str],
) -> dict[str, Json]:
    """The result as JSON; ``remedies`` are those of known failures in the logs of the starts that failed."""
    guilty = [{"setting": each, "put_in": changes[each].put_in} for each in finding.changes]
    works = changed(command, [changes[each] for each in finding.changes]) if finding.changes else None
    return {
        "format": 1,
        "verdict": finding.verdict,
        "stage": finding.stage,
        "why": finding.why,
        "eager_heals": finding.eager_heals,
        "serve": command.shown,
        "guilty": guilty,
        "works": None if works is None else _line(works),
        "remedies": list(remedies),
        "starts": [asdict(each) for each in records],
    }


def _line(command: ServeCommand) -> str:
    """A serve line as a shell takes it, with its environment; secrets masked."""
    assigned = [f"{name}={value}" for name, value in sorted(command.environment.items())]
    first = " ".join(shlex.quote(each) for each in masked_words(assigned))
    return f"{first} {command.shown}".strip()


def page(found: Mapping[str, Json], language: Language) -> str:
    """The result as a Markdown page."""

    def word(key: str, **values: str) -> str:
        return words()[key][language].format(**values) if values else words()[key][language]

    return "\n".join(_lines(found, word)).rstrip() + "\n"


def _lines(found: Mapping[str, Json], word: Json) -> Iterator[str]:
    yield from (f"# {word('title')}", "", f"`{_code(found['serve'])}`", "")
    yield f"- {word('verdict')}: **{word(found['verdict'])}**"
    yield f"- {word('stage')}: {word('stage.' + found['stage'])}"
    yield from ("", word("why." + found["why"]), "")
    if found["eager_heals"] is not None:
        yield from (word("eager.healed" if found["eager_heals"] else "eager.fails"), "")
    yield from _guilty(found, word)
    telling = "other" if found["why"] == "other failure" else "fails"
    shown = next((each["evidence"] for each in found["starts"] if each["outcome"] == telling), "")
    yield from (f"## {word('evidence')}", "")
    if shown:
        yield from (f"{word('failed as')}: `{_code(shown)}`", "")
    heads = (word("head.changes"), word("head.outcome"), word("head.seconds"), word("head.log"))
    yield from (f"| {word('starts')} | {' | '.join(heads)} |", "|---|---|---|---|---|")
    for number, each in enumerate(found["starts"], start=1):
        changes = ", ".join(f"`{_code(name)}`" for name in each["changes"]) or word("unchanged")
        outcome = word("outcome." + each["outcome"])
        yield f"| {number}. {each['stage']} | {changes} | {outcome} | {each['seconds']:g} | {each['log']} |"


def _guilty(found: Mapping[str, Json], word: Json) -> Iterator[str]:
    if found["guilty"]:
        yield from (f"## {word('guilty')}", "")
        for each in found["guilty"]:
            way = "in" if each["put_in"] else "out"
            yield f"- {word('guilty.' + way, setting='`' + _code(each['setting']) + '`')}"
        yield from ("", f"## {word('remedy')}", "")
        for each in found["guilty"]:
            way = "in" if each["put_in"] else "out"
            yield f"- {word('remedy.' + way, setting='`' + _code(each['setting']) + '`')}"
        if found["eager_heals"] or any(each["setting"] == EAGER for each in found["guilty"]):
            yield f"- {word('remedy.eager')}"
        yield from (f"- {_code(each)}" for each in found["remedies"])
        yield from ("", f"## {word('works')}", "", "```text", str(found["works"]), "```", "")
    elif found["remedies"]:
        yield from (f"## {word('remedy')}", "", *(f"- {_code(each)}" for each in found["remedies"]), "")


def _code(text: str) -> str:
    """A text inside a table's cell or back quotes."""
    return printable(text).replace("`", "'").replace("|", "\\|")
