"""Values that nobody shall read in a log or a report: keys, tokens, secrets and passwords."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MASK", "masked_words", "secret_values", "secret_words", "without"]

MASK = "***"
_SECRET = re.compile(
    r"\w*KEYS?|\w*TOKEN|\w*SECRETS?|\w*PASSWORDS?|\w*PASSWD|PASS|PGPASS|PASSPHRASE|PAT|AUTH|\w*CREDENTIALS?|DSN"
)
"""A part of a variable's name, between underscores, that calls its value secret."""
_FLAG = re.compile(r"--?([\w-]+)(?:=(.+))?", re.DOTALL)
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.+)", re.DOTALL)
_IN_URL = re.compile(r"(\w://[^\s/@:]*:)([^\s/@]+)(?=@)")
_SHORTEST = 4
"""A shorter value stands in a log for many other things."""
_WORDS = frozenset({"true", "false", "none", "null", "auto"})


def secret_values(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values of an environment whose names call them secret, longest first."""
    found = {value for name, value in environment.items() if _is_secret(name)}
    # A password within an address is a secret whatever the variable is called: DATABASE_URL, https_proxy.
    found |= {each for value in environment.values() for each in _in_urls(value)}
    return tuple(sorted(filter(_may_be_masked, found), key=len, reverse=True))


def without(text: str, secrets: Iterable[str]) -> str:
    """A text with each of ``secrets`` masked."""
    for each in secrets:
        text = text.replace(each, MASK)
    return text


def masked_words(words: Sequence[str]) -> list[str]:
    """The words of a command line; values of ``--api-key X``, ``--x-token=X`` and ``VAR_TOKEN=X`` masked.

    So are passwords within addresses.
    """
    shown: list[str] = []
    after = False
    for word in words:
        flag, assigned = _FLAG.fullmatch(word), _ASSIGNED.fullmatch(word)
        if after and flag is None:
            shown.append(MASK)
        elif flag is not None and flag[2] is not None and _is_secret(flag[1]):
            shown.append(f"{word.partition('=')[0]}={MASK}")
        elif assigned is not None and _is_secret(assigned[1]):
            shown.append(f"{assigned[1]}={MASK}")
        else:
            shown.append(_IN_URL.sub(rf"\1{MASK}", word))
        after = flag is not None and flag[2] is None and _is_secret(flag[1])
    return shown


def secret_words(words: Sequence[str]) -> tuple[str, ...]:
    """The values of a command line that ``masked_words`` masks, longest first."""
    pairs = [pair for pair in zip(words, masked_words(words), strict=True) if pair[0] != pair[1]]
    whole = [(word, shown) for word, shown in pairs if shown.endswith(MASK)]
    found = {word.removeprefix(shown.removesuffix(MASK)) for word, shown in whole}
    found |= {each for word, _ in pairs for each in _in_urls(word)}
    return tuple(sorted(filter(_may_be_masked, found), key=len, reverse=True))


def _in_urls(text: str) -> list[str]:
    """The passwords of the addresses in a text."""
    return [password for _, password in _IN_URL.findall(text)]


def _is_secret(name: str) -> bool:
    parts = name.replace("-", "_").upper().split("_")
    return any(_SECRET.fullmatch(part) for part in parts)


def _may_be_masked(value: str) -> bool:
    return len(value) >= _SHORTEST and value.lower() not in _WORDS
