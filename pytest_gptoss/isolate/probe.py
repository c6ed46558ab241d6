"""Probes: what counts as the failure that is searched for."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal

from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.key_variables import key_variable
from pytest_gptoss.model.paths import CHAT_PATH
from pytest_gptoss.model.secret_values import without
from pytest_gptoss.model.stored_json import Mismatch, parse, typed

__all__ = ["Probe", "asked", "read_probe"]

_REQUEST_S = 120.0
_ANSWER = 1 << 20


@dataclass(frozen=True)
class Probe:
    """A failure that the suite can see.

    ``any``: the server does not start, or does not answer a greeting. ``start``: it does not start.
    ``request``: ``body`` sent to ``path`` is refused, or its answer does not match ``answer``, a regular
    expression. ``log``: a line of the log matches ``pattern``. ``threshold``: a row of ``profile`` does not
    pass.
    """

    kind: Literal["any", "start", "request", "log", "threshold"] = "request"
    path: str = CHAT_PATH
    body: Any = None
    answer: str = ""
    pattern: str = ""
    threshold: str = ""
    profile: str | None = None


def read_probe(path: Path | None) -> Probe:
    """The probe of a JSON file; without one, a start and a greeting that is answered. Raises UsageError."""
    if path is None:
        return Probe("any")
    try:
        found: Probe = typed(Probe, parse(path.read_bytes()))
        re.compile(found.answer)
        re.compile(found.pattern)
    except (OSError, Mismatch, re.error) as error:
        raise UsageError(f"--probe {path}: {error}: see docs/isolate.md for what such a file holds") from None
    needed = {"log": found.pattern, "threshold": found.threshold}
    if not needed.get(found.kind, "given"):
        key = "pattern" if found.kind == "log" else found.kind
        raise UsageError(f"--probe {path}: a probe of kind {found.kind!r} needs {key!r}: add it to the file")
    return found


def asked(probe: Probe, root: str) -> str:
    """Send the request of a probe; returns what is wrong with the answer, empty where nothing is.

    A server that wants a key gets that of ``GPTOSS_NPU_API_KEY``, which what is returned never holds.
    """
    key = os.environ.get(key_variable("npu"))
    return without(_asked(probe, root, key), [key] if key else [])


def _asked(probe: Probe, root: str, key: str | None) -> str:
    try:
        body = probe.body if probe.body is not None else _greeting(root, key)
        text = _sent(f"{root}{probe.path}", body, key)
    except urllib.error.HTTPError as error:
        said = error.read(400).decode("utf-8", "replace")
        return f"{(error.url or probe.path).removeprefix(root)} answered {error.code}: {said}"
    except (OSError, HTTPException, ValueError) as error:
        return f"{probe.path}: {error}"
    if not re.search(probe.answer, text, re.DOTALL):
        return f"{probe.path} answered {text[:200]!r}, which {probe.answer!r} does not find"
    return ""


def _greeting(root: str, key: str | None) -> Any:
    """A short question to the first model that the server lists; raises ValueError where it lists none."""
    told = _sent(f"{root}/v1/models", None, key)
    try:
        model = json.loads(told)["data"][0]["id"]
    except (LookupError, TypeError):
        raise ValueError(f"/v1/models lists no model: {told[:200]!r}") from None
    said = [{"role": "user", "content": "Hi"}]
    return {"model": model, "messages": said, "max_tokens": 8, "temperature": 0}


def _sent(url: str, body: Any, key: str | None) -> str:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, data, headers)  # noqa: S310
    loopback = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with loopback.open(request, timeout=_REQUEST_S) as answer:
        return str(answer.read(_ANSWER).decode("utf-8", "replace"))
