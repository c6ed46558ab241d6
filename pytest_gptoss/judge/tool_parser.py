"""What vLLM does with tool calls when it was started without a tool parser, or does not enforce them."""

from __future__ import annotations

import json
import re

from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.gptoss import CALL
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import AGAIN, Generation, Measurement

__all__ = ["PARSER_FLAGS", "not_enforced", "refuse_without_parser"]

PARSER_FLAGS = "--enable-auto-tool-choice --tool-call-parser openai --reasoning-parser openai_gptoss"
_NO_PARSER = ("enable-auto-tool-choice", "tool-call-parser", "tool parser")
_VERSION = re.compile(r"v?0\.(\d+)(?:\.|$)")
_NOT_ENFORCING = 18
"""Minor version of vLLM whose harmony path ignores ``tool_choice`` (read in its source)."""
_STREAMS_BY_PARSER = 32
"""First minor version that is known to stream a call only where there is a tool parser."""


def refuse_without_parser(npu: Measurement[Generation]) -> None:
    """Raise InsufficientData, with the flags to serve with, for a server that takes no call out of an answer.

    Such a server refuses the request in words (older ones, without harmony), leaves the call in the token ids
    alone (0.32), or streams calls and leaves them out of whole answers (0.18).
    """
    for failure in npu.failures:
        if any(word in failure.message for word in _NO_PARSER):
            raise InsufficientData(
                say(
                    "{device} was started without a tool parser: add {flags} ({message})",
                    device=npu.device,
                    flags=PARSER_FLAGS,
                    message=failure.message,
                )
            )
    whole = [each for each in npu.items if each.prompt_id.removesuffix(AGAIN).endswith("-whole")]
    if any(each.tool_calls for each in whole) or not any(map(_holds_unparsed_call, whole)):
        return
    if not any(each.tool_calls for each in npu.items):
        raise InsufficientData(
            say(
                "{device}: the model calls the tool, the server takes no call out of it: add {flags}",
                device=npu.device,
                flags=PARSER_FLAGS,
            )
        )
    minor = _minor(npu)
    if minor is None or minor < _STREAMS_BY_PARSER:
        raise InsufficientData(
            say(
                "{device}: streamed answers carry the call, whole ones leave it out, as vLLM "
                "0.18 does without a tool parser: add {flags}; if these are set, the "
                "parser fails: see its log",
                device=npu.device,
                flags=PARSER_FLAGS,
            )
        )


def not_enforced(npu: Measurement[Generation], choice: str) -> str | None:
    """Say that this server leaves a required or named tool to the model; None where it is not known to."""
    if choice == "auto" or _minor(npu) != _NOT_ENFORCING:
        return None
    return say(
        "vLLM {server_version} does not enforce tool_choice {choice} for GPT-OSS: "
        "whether the tool is called is the model's choice there (0.32 enforces it)",
        server_version=npu.provenance["server_version"],
        choice=choice,
    )


def _holds_unparsed_call(answer: Generation) -> bool:
    """Whether the model called and the server did not say so; without ids, as far as the text tells."""
    if answer.tool_calls:
        return False
    if answer.token_ids is not None:
        return answer.token_ids[-1:] == (CALL,)
    return not answer.content or _is_object(answer.content)


def _is_object(text: str) -> bool:
    """Whether a text is a JSON object: 0.18 puts a call's bare arguments into the content."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _minor(npu: Measurement[Generation]) -> int | None:
    """The minor version of vLLM 0.x; None where the server tells another or none."""
    found = _VERSION.match(str(npu.provenance.get("server_version") or ""))
    return int(found[1]) if found else None
