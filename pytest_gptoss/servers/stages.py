"""What a starting vLLM is doing, by the last telling lines of its log. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["last_lines", "port_told", "stage_of"]

_LINES = re.compile(r"[\r\n]+")
_STAGES = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"(?i)loading .*checkpoint shards:\s*(\d+)%", "loading {}%"),
        (r"(?i)starting to load model|loading model from|loading safetensors", "loading"),
        (r"(?i)loading (?:model )?weights took|model loading took", "loaded"),
        (r"(?i)capturing .*graph.*?(\d+)%", "capturing graphs {}%"),
        (r"(?i)graph capturing finished", "graphs captured"),
        (r"(?i)capturing .*graph|starting to capture", "capturing graphs"),
        (r"(?i)torch\.compile|compiling (?:a )?graph|dynamo", "compiling"),
        (r"(?i)application startup complete", "started"),
        (r"vLLM (?:API )?server version|\u2588.*\bversion\b", "beginning"),
    )
)
_PORT = re.compile(
    r"(?i)(?:uvicorn running on|starting vllm(?: api)? server(?: \d+)? on|listening (?:on|at)) "
    r"https?://[^\s/]*:(\d+)"
)
_SHOWN = 240


def stage_of(text: str) -> str | None:
    """The stage that the last telling line of a log's text shows: "loading 40%"; None without such a line."""
    for line in reversed(_LINES.split(text)):
        for pattern, words in _STAGES:
            found = pattern.search(line)
            if found is not None:
                return words.format(*found.groups())
    return None


def port_told(text: str) -> int | None:
    """The port on which a log says that the server listens; None where it does not say."""
    found = _PORT.findall(text)
    return int(found[-1]) if found else None


def last_lines(text: str, count: int = 3) -> list[str]:
    """The last lines of a log that say something, shortened; a progress bar counts as its last state."""
    lines: Iterable[str] = (line.rstrip("\r").rpartition("\r")[2].strip() for line in text.split("\n"))
    return [line[:_SHOWN] for line in lines if line][-count:]
