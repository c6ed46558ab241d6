"""Whether a report document is one: its schema, and bounds for all that the schema leaves open.

Documents come from files that may be anybody's; nothing of one is rendered before it was checked here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gptoss.model.json_type import Json

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

__all__ = ["faults", "unbounded", "validator"]

DEEPEST = 40
"""Objects and lists inside each other; what runs write is less than ten deep."""
LONGEST = 1_000_000
"""Characters of one text; a model's whole answer is shorter."""
LARGEST = 2**63
"""Bound of whole numbers: times in nanoseconds are the largest that runs write."""
_SHOWN = 40
"""Characters of a wrong value in a message."""


def unbounded(value: Json, place: str = "", depth: int = 0) -> str | None:
    """What no report holds, in words: endless nesting, texts and numbers beyond all bounds; else None.

    A number that is not finite is left to whoever reads the document: they are null in reports.
    """
    if depth > DEEPEST:
        return f"{place[:_SHOWN]}...: nested more than {DEEPEST} deep"
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{place}: a text of {len(value)} characters, at most {LONGEST} belong there"
    if isinstance(value, int) and abs(value) >= LARGEST:
        return f"{place}: a whole number beyond 2^63"
    for step, each in _inside(value):
        found = unbounded(each, f"{place}{step}", depth + 1)
        if found is not None:
            return found
    return None


def _inside(value: Json) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield f".{name[:_SHOWN]}", each
            if len(name) > LONGEST:
                yield f".{name[:_SHOWN]}", name
    elif isinstance(value, list):
        yield from ((f"[{index}]", each) for index, each in enumerate(value))


def faults(document: Json, most: int = 3) -> list[str]:
    """The first faults of a document by ``acceptance-1.schema.json``, each in words with its place."""
    return list(dict.fromkeys(_told(each) for each in islice(validator().iter_errors(document), most)))


@cache
def validator() -> Draft202012Validator:
    """The schema of report documents; made when it is first needed."""
    from jsonschema import Draft202012Validator

    path = Path(__file__).with_name("schemas") / "acceptance-1.schema.json"
    return Draft202012Validator(json.loads(path.read_text("utf-8")))


def _told(error: ValidationError) -> str:
    place = error.json_path.removeprefix("$").removeprefix(".")[:200]
    if error.validator in ("required", "dependentRequired"):
        instance: Any = error.instance
        lacking = [name for name in _needed(error.validator_value, instance) if name not in instance]
        return f"it lacks {', '.join(f'{place}.{name}'.removeprefix('.') for name in lacking)}"
    rule = f"{error.validator} {_shown(error.validator_value)}"
    return f"{place or 'the document'} is {_shown(error.instance)}, its schema says {rule}"


def _needed(rule: Any, instance: Any) -> list[str]:
    if isinstance(rule, Mapping):
        return [name for key, names in rule.items() if key in instance for name in names]
    return list(rule)


def _shown(value: Json) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
