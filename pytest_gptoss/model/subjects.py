"""Devices: what a server is, can do, and tells about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "CHUNK_FACT",
    "CORPUS",
    "LOGPROBS",
    "Capabilities",
    "Device",
    "KnownFact",
    "Role",
    "ServerFacts",
    "ServerIdentity",
]

Role: TypeAlias = Literal["npu", "gpu", "cpu"]

CHUNK_FACT = "max_num_batched_tokens"
"""vLLM's name for the most tokens of a step, which is the chunk of a prompt computed alone."""
CORPUS = "corpus"
"""What stands in a device's place where the fixed texts are scored: no device may be called so."""


LOGPROBS = "logprobs"
"""In the place of a pooling server or a file: hidden states are recovered from log-probabilities."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one small request each has shown that a device can do.

    ``notes`` says, per missing capability, what the server answered instead.
    """

    chat: bool = False
    token_ids: bool = False
    logprobs: bool = False
    prompt_logprobs: bool = False
    token_prompts: bool = False
    pooling: bool = False
    tokenize: bool = False
    metrics: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Device:
    """A served model in a role, as probed. ``url`` is the server root without credentials."""

    role: Role
    name: str
    url: str | None
    label: str
    model: str
    server_version: str | None
    max_model_len: int | None
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class KnownFact:
    """A fact about a server that it does not have to tell: ``name`` "dtype", and where it was found."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server that answers, before anything is measured on it.

    ``addresses`` are its host's addresses with port and path, as this machine resolves them; ``host`` is the
    name it was asked by, None where that was a plain address. ``started_s`` is its process's start on its
    own clock, in seconds, None where ``/metrics`` does not tell. ``run`` is the id of the run that asked.
    ``model`` is the served model that was chosen; None: ``problem`` says
    why none can be used. ``text_ids`` are the ids that it gives ``text``, ``greeting_ids`` those of its chat
    prompt where it does not tell the former; None where it tells none. ``clock_ahead_s``: its clock less this
    machine's, to the second; None without a Date header. ``harmony_date`` is the date in its chat prompt,
    None where it cannot be seen: ``date_trouble`` says why. ``answers_sha256`` is over its log-probabilities
    of fixed tokens: None where it does not repeat or offer them, or was not asked because it can be no other
    device's server.
    """

    run: str
    addresses: tuple[str, ...]
    waited_s: float
    listed: tuple[str, ...]
    model: str | None = None
    problem: str = ""
    version: str | None = None
    max_model_len: int | None = None
    clock_ahead_s: float | None = None
    harmony_date: str | None = None
    known: tuple[KnownFact, ...] = ()
    host: str | None = None
    started_s: float | None = None
    date_trouble: str = ""
    text: str = ""
    text_ids: tuple[int, ...] | None = None
    greeting_ids: tuple[int, ...] | None = None
    answers_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """What a server tells of itself that stays from its start to its end; empty where it does not tell.

    ``starts`` are the starts of its processes, in seconds of their own clock: one, or several where one page
    tells of several. ``checkpoint`` is what ``/v1/models`` calls the model's root, ``settings`` are those
    of ``/server_info``.
    """

    starts: tuple[float, ...] = ()
    model: str | None = None
    checkpoint: str | None = None
    version: str | None = None
    max_model_len: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
