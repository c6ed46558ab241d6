"""Facts that a serve line tells of a server: parallel sizes, expert parallel, graph capture. Pure.

They have the names of ``/server_info``. A flag that is absent tells vLLM's default, where the line is vLLM's
own and names no ``--config`` file that could set it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import PurePath

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.subjects import KnownFact

__all__ = ["SERVE_LINE", "facts_of_serve_line"]

SERVE_LINE = "serve line"
"""The source of these facts, as reports name it."""
_SIZES = {
    "--tensor-parallel-size": "tensor_parallel_size",
    "-tp": "tensor_parallel_size",
    "--pipeline-parallel-size": "pipeline_parallel_size",
    "-pp": "pipeline_parallel_size",
}
_SWITCHES = {
    "--enforce-eager": ("enforce_eager", "True"),
    "--no-enforce-eager": ("enforce_eager", "False"),
    "--enable-expert-parallel": ("enable_expert_parallel", "True"),
    "-ep": ("enable_expert_parallel", "True"),
    "--no-enable-expert-parallel": ("enable_expert_parallel", "False"),
}
_DEFAULTS = {
    "enforce_eager": "False",
    "tensor_parallel_size": "1",
    "pipeline_parallel_size": "1",
    "enable_expert_parallel": "False",
}
_COMPILATION = ("--compilation-config", "-cc", "-O")
_GRAPH_MODE = "cudagraph_mode"
_ADDITIONAL = "--additional-config"
_ASCEND_GRAPHS = {"torchair_graph_config": "torchair", "xlite_graph_config": "xlite"}
"""Graph modes of vllm-ascend beside ACL graphs, by the part of ``--additional-config`` that enables them."""
_LONGEST = 40


def facts_of_serve_line(words: Sequence[str]) -> tuple[KnownFact, ...]:
    """What the words of a command line tell; of a flag that is given twice the last one counts."""
    line = [each for word in words for each in _inner(word)]
    found: dict[str, str] = {}
    for flag, value in _flags(line):
        found.update(_told(flag, value))
    if _is_vllm(line) and "--config" not in {flag for flag, _ in _flags(line)}:
        found = {**_DEFAULTS, **found}
    return tuple(KnownFact(name, value[:_LONGEST], SERVE_LINE) for name, value in found.items())


def _inner(word: str) -> Sequence[str]:
    """The words of a line within a line: ``sh -c 'vllm serve ...'``."""
    if "vllm" not in word or " " not in word.strip():
        return (word,)
    try:
        return shlex.split(word)
    except ValueError:
        return (word,)


def _flags(line: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every flag with what follows it, as vLLM reads them: ``--a_b=1`` is ``--a-b 1``."""
    for word, after in pairwise((*line, "")):
        if word.startswith("-"):
            flag, equals, value = word.partition("=")
            yield flag.replace("_", "-") if flag.startswith("--") else flag, value if equals else after


def _told(flag: str, value: str) -> dict[str, str]:
    """The facts that one flag tells."""
    name, _, key = flag.partition(".")
    if flag in _SIZES:
        return {_SIZES[flag]: str(int(value))} if value.isdecimal() else {}
    if flag in _SWITCHES:
        return dict([_SWITCHES[flag]])
    if name in _COMPILATION and key.replace("-", "_") == _GRAPH_MODE:
        return {_GRAPH_MODE: value.upper()}
    if flag in _COMPILATION:
        mode = _table(value).get(_GRAPH_MODE)
        return {_GRAPH_MODE: mode.upper()} if isinstance(mode, str) else {}
    if flag == _ADDITIONAL:
        parts = _table(value)
        enabled = [kind for part, kind in _ASCEND_GRAPHS.items() if _enabled(parts.get(part))]
        return {"ascend_graphs": enabled[0]} if enabled else {}
    return {}


def _table(value: str) -> dict[str, Json]:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _enabled(part: Json) -> bool:
    return isinstance(part, dict) and part.get("enabled") is True


def _is_vllm(line: Sequence[str]) -> bool:
    """Whether vLLM's own server reads the flags: ``vllm serve``, its module, or the image that runs it."""
    return any(
        (PurePath(word).name, after) == ("vllm", "serve")
        or word.startswith(("vllm.entrypoints.", "vllm/vllm-openai"))
        for word, after in pairwise((*line, ""))
    )
