"""Sentences that reports quote: an English text that remembers its template and the values in it.

A ``Message`` is its English text to all code. Where a document of this product is written, ``with_messages``
puts the templates and values of its messages beside it, and ``revived`` makes messages of them again; so
reports can say the same in another language.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Integral, Real
from string import Formatter
from typing import Any, TypeAlias

from pytest_gptoss.model.json_type import Json

__all__ = [
    "BOTH",
    "EITHER",
    "SENTENCES",
    "TABLE",
    "WORDS",
    "Message",
    "both",
    "either",
    "filled",
    "joined",
    "listed",
    "revived",
    "say",
    "stored_messages",
    "with_messages",
]

Value: TypeAlias = "str | int | float | tuple[str, ...]"
"""What fills a field: a text, a message, a number, or several texts, which are written as a list."""

TABLE = "messages"
"""The key of a document that holds its messages: English text -> ``template``, ``values``."""
MOST = 2_000
"""Messages of one document; what is beyond stays English."""
SENTENCES = "{sentences}"
WORDS = "{words}"
BOTH = "{both}"
EITHER = "{either}"
"""Templates of lists: what stands between their texts is the language's."""
_BETWEEN: Mapping[str, str] = {SENTENCES: "; ", WORDS: ", ", BOTH: " and ", EITHER: " or "}
_LARGEST = 2**63
"""Documents hold no whole number beyond it, but its digits."""
_DEEPEST = 40
"""Objects and lists inside each other in which messages are looked for."""
_SPEC = re.compile(r"[+]?,?(\.[0-9]{1,2})?[dfeg%]?")
"""How a stored template may format a number; a width could make a text of any length."""


class Message(str):
    """An English text with its ``template`` and the ``values`` of the template's fields.

    ``str(message)`` is the message itself, so ``str(error)`` is what the error was raised with. A message
    without values is its template as it stands: braces mean nothing in it.
    """

    template: str
    values: Mapping[str, Value]

    def __new__(cls, template: str, values: Mapping[str, Value]) -> Message:
        """The template with its values filled in; raises KeyError for a field without one."""
        made = super().__new__(cls, filled(template, values))
        made.template = template
        made.values = values
        return made

    def __str__(self) -> str:
        return self

    def changed(self, change: Callable[[str], str]) -> Message:
        """The same message with ``change`` applied to each text in it that is not one of ours."""
        return Message(self.template, {name: _changed(each, change) for name, each in self.values.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.template, dict(self.values))

    @property
    def english(self) -> str:
        """The text alone, for those who take nothing but plain texts."""
        return super().__str__()


def say(template: str, **values: object) -> Message:
    """A message: ``say("{n} tokens were lost", n=5)``. ``template`` is a literal, which a test looks for."""
    return Message(template, {name: _value(value) for name, value in values.items()})


def joined(parts: Iterable[str]) -> str:
    """Several sentences in one, with semicolons between them; one alone stays what it is."""
    return _list(SENTENCES, parts)


def listed(parts: Iterable[str]) -> str:
    """Several words in one text, with commas between them; one alone stays what it is."""
    return _list(WORDS, parts)


def both(parts: Iterable[str]) -> str:
    """Several words in one text, with "and" between them; one alone stays what it is."""
    return _list(BOTH, parts)


def either(parts: Iterable[str]) -> str:
    """Several words in one text, with "or" between them; one alone stays what it is."""
    return _list(EITHER, parts)


def _list(template: str, parts: Iterable[str]) -> str:
    texts = tuple(parts)
    if len(texts) < 2:
        return texts[0] if texts else ""
    return Message(template, {template.strip("{}"): texts})


def filled(template: str, values: Mapping[str, Value], between: Mapping[str, str] = _BETWEEN) -> str:
    """A template with its values; ``between`` is what stands between the texts of a list, by its template."""
    if not values:
        return template
    mark = between.get(template, "; ")
    return template.format(
        **{name: mark.join(each) if isinstance(each, tuple) else each for name, each in values.items()}
    )


def _value(value: object) -> Value:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    return int(value) if isinstance(value, Integral) else float(value)


def _changed(value: Value, change: Callable[[str], str]) -> Value:
    if isinstance(value, Message):
        return value.changed(change)
    if isinstance(value, tuple):
        return tuple(each.changed(change) if isinstance(each, Message) else change(each) for each in value)
    return change(value) if isinstance(value, str) else value


def with_messages(document: Mapping[str, Json]) -> dict[str, Json]:
    """A document with the table of the messages in it, where there are any."""
    table: dict[str, Json] = {}
    for each in _messages(document):
        if len(table) == MOST:
            break
        table.setdefault(each.english, _form(each))
    return {**document, TABLE: table} if table else dict(document)


def revived(document: Json) -> Json:
    """A document that ``with_messages`` completed, without its table, its texts messages again."""
    if not isinstance(document, dict) or TABLE not in document:
        return document
    return _revive(
        {name: each for name, each in document.items() if name != TABLE}, stored_messages(document)
    )


def stored_messages(document: Mapping[str, Json]) -> dict[str, Message]:
    """The messages of a document's table by their texts; those that are not what they say are left out."""
    table = document.get(TABLE)
    found = {text: _message(text, form) for text, form in table.items()} if isinstance(table, dict) else {}
    return {text: each for text, each in found.items() if each is not None}


def _messages(value: Json) -> Iterator[Message]:
    if isinstance(value, Message):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _messages(each)
    elif isinstance(value, list | tuple) and not (value and isinstance(value[0], int | float)):
        for each in value:
            yield from _messages(each)


def _form(value: Value) -> Json:
    """A message, or what fills a field of one, as JSON."""
    if isinstance(value, Message):
        values = {name: _form(each) for name, each in value.values.items()}
        return {"template": value.template, "values": values}
    if isinstance(value, tuple):
        return [_form(each) for each in value]
    return str(value) if isinstance(value, int) and abs(value) >= _LARGEST else value


def _message(text: str, form: Json) -> Message | None:
    """The message of a form, None where it does not say ``text``. Whoever wrote it is not trusted."""
    try:
        found = _read(form, len(text))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, Message) and found == text else None


def _read(form: Json, longest: int) -> Any:
    if isinstance(form, dict):
        template, values = form["template"], {n: _read(each, longest) for n, each in form["values"].items()}
        _check(template, values, longest)
        return Message(template, values)
    return tuple(_read(each, longest) for each in form) if isinstance(form, list) else form


def _check(template: str, values: Mapping[str, Value], longest: int) -> None:
    """Raise ValueError for a template that does more than fill in values, or says more than ``longest``."""
    size = 0
    for literal, name, spec, conversion in Formatter().parse(template) if values else ():
        size += len(literal)
        if name is None:
            continue
        if name not in values or not _SPEC.fullmatch(spec or "") or conversion not in (None, "r"):
            raise ValueError(f"{name} is no field of a message")
        value = values[name]
        size += (
            sum(map(len, value)) if isinstance(value, tuple) else len(value) if isinstance(value, str) else 1
        )
    if size > longest:
        raise ValueError("a message longer than its text")


def _revive(value: Json, known: Mapping[str, str], depth: int = 0) -> Json:
    if isinstance(value, str):
        return known.get(value, value)
    if depth < _DEEPEST and isinstance(value, dict):
        return {name: _revive(each, known, depth + 1) for name, each in value.items()}
    if depth < _DEEPEST and isinstance(value, list) and not (value and isinstance(value[0], int | float)):
        return [_revive(each, known, depth + 1) for each in value]
    return value
