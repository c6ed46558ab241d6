"""/v1/chat/completions and its renderer: harmony in, reasoning, content and tool calls out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.reference import harmony
from pytest_gptoss.reference.answer import Answer, Delta
from pytest_gptoss.reference.api_errors import bad_request, bad_value
from pytest_gptoss.reference.choice import Choice, Step, side_by_side
from pytest_gptoss.reference.fields import Fields, read_fields
from pytest_gptoss.reference.guided_call import GuidedCall
from pytest_gptoss.reference.json_prefix import unsupported
from pytest_gptoss.reference.parameters import Parameters, read_parameters
from pytest_gptoss.reference.replies import EventStream, JsonReply, while_connected
from pytest_gptoss.reference.service import Service, random_hex, request_id, service_of
from pytest_gptoss.reference.token_scores import chat_score, prompt_scores

__all__ = ["complete_chat", "render_chat"]

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request. ``with_tools``: calls are told apart from the text.

    ``guide`` forces a call, of one function where ``named``.
    """

    id: str
    prompt: tuple[int, ...]
    parameters: Parameters
    with_tools: bool
    guide: GuidedCall | None
    named: bool
    include_reasoning: bool
    return_token_ids: bool
    ids_for_tokens: bool
    stream: bool
    include_usage: bool
    continuous_usage: bool

    @property
    def shows_token_ids(self) -> bool:
        """Hiding the reasoning hides the token ids too: they would give it away."""
        return self.return_token_ids and self.include_reasoning


async def complete_chat(request: Request) -> Response:
    """Answer a conversation, whole or as a stream."""
    service = service_of(request)
    asked = _read(request, await read_fields(request), service)
    choices = [
        Choice(service, asked.prompt, asked.parameters, number=number, guide=asked.guide)
        for number in range(asked.parameters.n)
    ]
    if asked.stream:
        return EventStream(_events(service, asked, choices))
    return JsonReply(await while_connected(request.receive, _whole(service, asked, choices)))


async def render_chat(request: Request) -> Response:
    """The prompt that a chat request would be given."""
    service = service_of(request)
    asked = _read(request, await read_fields(request), service)
    return JsonReply(_rendered(service, asked))


# -- the request ------------------------------------------------------------------------------


def _read(request: Request, fields: Fields, service: Service) -> ChatRequest:
    fields.required("messages")
    messages = fields.parts("messages")
    effort = fields.one_of("reasoning_effort", _EFFORTS)
    service.check_model(fields)
    stream = fields.flag("stream")
    options = fields.part("stream_options") or Fields({})
    parameters = read_parameters(
        fields,
        max_tokens=_max_tokens(fields),
        logprobs=_logprobs(fields),
        stream=stream,
        most=service.max_logprobs,
    )
    harmony.check_effort(effort)
    tools = fields.parts("tools")
    with_tools, guide = _calls_wanted(fields, tools)
    day = service.start_date or harmony.conversation_date(os.environ)
    if service.defect == "wrong-date":
        day = harmony.day_before(day)
    prompt = service.shortened(tuple(harmony.render(messages, tools, effort=effort, day=day)))
    if len(prompt) > service.engine.max_model_len:
        raise bad_request(
            f"Input length ({len(prompt)}) exceeds model's maximum context length "
            f"({service.engine.max_model_len})."
        )
    return ChatRequest(
        id=request_id(request, fields, "chatcmpl"),
        prompt=prompt,
        parameters=parameters,
        with_tools=with_tools,
        guide=guide,
        named=isinstance(fields.raw("tool_choice"), dict),
        include_reasoning=fields.flag("include_reasoning", default=True),
        return_token_ids=fields.flag("return_token_ids"),
        ids_for_tokens=fields.flag("return_tokens_as_token_ids"),
        stream=stream,
        include_usage=options.flag("include_usage"),
        continuous_usage=options.flag("include_usage") and options.flag("continuous_usage_stats"),
    )


def _max_tokens(fields: Fields) -> int | None:
    newer = fields.integer("max_completion_tokens")
    return fields.integer("max_tokens") if newer is None else newer


def _logprobs(fields: Fields) -> int | None:
    top = fields.integer("top_logprobs")
    if fields.flag("logprobs"):
        return top or 0
    if top:
        message = "when using `top_logprobs`, `logprobs` must be set to true."
        raise bad_value(message, param="top_logprobs")
    return None


def _calls_wanted(fields: Fields, tools: Sequence[Fields]) -> tuple[bool, GuidedCall | None]:
    """Whether functions may be called, and what forces a call where one must come."""
    choice = fields.raw("tool_choice")
    if choice is not None and choice not in ("auto", "none", "required") and not isinstance(choice, dict):
        message = (
            f"Invalid value for `tool_choice`: {choice}! "
            'Only named tools, "none", "auto" or "required" are supported.'
        )
        raise bad_value(message, param="tool_choice", value=choice)
    if choice in (None, "none"):
        return bool(tools) and choice is None, None
    if not tools:
        raise bad_value("When using `tool_choice`, `tools` must be set.", param="tool_choice")
    if choice == "auto":
        return True, None
    functions = dict(map(_function, tools))
    if isinstance(choice, dict):
        named = choice.get("function")
        name = named.get("name") if isinstance(named, dict) else None
        if name not in functions:
            message = "The tool specified in `tool_choice` does not match any of the specified `tools`"
            raise bad_value(message, param="tool_choice")
        functions = {name: functions[name]}
    for schema in functions.values():
        unknown = unsupported(schema)
        if unknown is not None:
            message = f"the reference server cannot force a call with {unknown} in its parameters"
            raise bad_value(message, param="tools")
    return True, GuidedCall(functions)


def _function(tool: Fields) -> tuple[str, Json]:
    function = tool.part("function")
    if function is None:
        raise bad_request("a tool needs a 'function'", param="tools")
    parameters = function.raw("parameters")
    return function.text("name") or "", {"type": "object"} if parameters is None else parameters


# -- the whole answer ---------------------------------------------------------------------------


@dataclass(slots=True)
class _Progress:
    """What is known of one choice so far."""

    answer: Answer
    token_ids: list[int] = field(default_factory=list)
    scores: list[Json] = field(default_factory=list)
    end: Step | None = None
    calls: int = 0
    named: bool = False

    def finish_reason(self) -> str | None:
        """How it ended; a call that is complete is a reason of its own, unless it was asked for by name."""
        reason = self.end.finish_reason if self.end else None
        return "tool_calls" if reason == "stop" and self.answer.calls and not self.named else reason


def _progress(service: Service, asked: ChatRequest) -> _Progress:
    answer = Answer(with_tools=asked.with_tools, leak=service.defect == "harmony-leak")
    return _Progress(answer, named=asked.named)


def _take(progress: _Progress, step: Step, asked: ChatRequest) -> tuple[list[Delta], list[Json] | None]:
    """Let a choice grow by one token: what that adds to its text, and the token's scores."""
    progress.token_ids.append(step.token_id)
    ended = step.finish_reason is not None
    if ended:
        progress.end = step
    deltas = progress.answer.add(step.token_id, last=ended)
    if step.logprobs is None:
        return deltas, None
    scores = chat_score(
        step.token_id, step.logprobs, top=asked.parameters.logprobs or 0, as_ids=asked.ids_for_tokens
    )
    progress.scores.append(scores)
    return deltas, [scores]


async def _whole(service: Service, asked: ChatRequest, choices: Sequence[Choice]) -> Json:
    progress = [_progress(service, asked) for _ in choices]
    async with aclosing(side_by_side(choices)) as steps:
        async for index, step in steps:
            _take(progress[index], step, asked)
    scores = choices[0].prompt_logprobs
    return {
        "id": asked.id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": service.model,
        "choices": [_choice(index, each, asked) for index, each in enumerate(progress)],
        "service_tier": None,
        "system_fingerprint": service.fingerprint,
        "usage": {
            **_counts(asked, progress),
            "prompt_tokens_details": None,
            "completion_tokens_details": _details(progress),
        },
        "prompt_logprobs": None if scores is None else prompt_scores(asked.prompt, scores),
        "prompt_token_ids": list(asked.prompt) if asked.return_token_ids else None,
        "prompt_text": None,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def _choice(index: int, progress: _Progress, asked: ChatRequest) -> Json:
    return {
        "index": index,
        "message": _message(progress.answer, asked),
        "logprobs": {"content": progress.scores} if asked.parameters.logprobs is not None else None,
        "finish_reason": progress.finish_reason(),
        "stop_reason": progress.end and progress.end.stop_reason,
        "token_ids": progress.token_ids if asked.shows_token_ids else None,
        "routed_experts": None,
    }


def _message(answer: Answer, asked: ChatRequest) -> Json:
    contents, thoughts = answer.texts("content"), answer.texts("reasoning")
    reasoning = "\n".join(thoughts) or None
    message: dict[str, Json] = {
        "role": "assistant",
        "content": "\n".join(contents) if contents else "" if asked.guide and answer.calls else None,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
    }
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": f"chatcmpl-tool-{random_hex()}",
                "type": "function",
                "function": {"name": call.name, "arguments": _tidied(call.text)},
            }
            for call in answer.calls
        ]
    message["reasoning"] = reasoning if asked.include_reasoning else None
    return message


def _tidied(arguments: str) -> str:
    """A call's arguments as JSON written anew, or as they are where they are no JSON."""
    try:
        return json.dumps(json.loads(arguments))
    except ValueError:
        return arguments


def _counts(asked: ChatRequest, progress: Sequence[_Progress]) -> dict[str, Json]:
    said = sum(len(each.token_ids) for each in progress)
    return {
        "prompt_tokens": len(asked.prompt),
        "total_tokens": len(asked.prompt) + said,
        "completion_tokens": said,
    }


def _details(progress: Sequence[_Progress]) -> Json:
    return {"reasoning_tokens": sum(each.answer.reasoning_tokens for each in progress)}


def _usage(asked: ChatRequest, progress: Sequence[_Progress]) -> Json:
    return {**_counts(asked, progress), "completion_tokens_details": _details(progress)}


# -- the stream -----------------------------------------------------------------------------------


async def _events(
    service: Service, asked: ChatRequest, choices: Sequence[Choice]
) -> AsyncGenerator[Json, None]:
    progress = [_progress(service, asked) for _ in choices]
    head = {
        "id": asked.id,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": service.model,
    }
    fingerprint = {"system_fingerprint": service.fingerprint}
    begun = False
    async with aclosing(side_by_side(choices)) as steps:
        async for index, step in steps:
            if not begun:
                begun = True
                for opening in _openings(asked, progress):
                    yield {**head, **opening}
            chunk = _chunk(index, progress[index], step, asked)
            if chunk is None:
                continue
            event = {**head, "choices": [chunk]}
            if asked.continuous_usage:
                event["usage"] = _usage(asked, [progress[index]])
            elif not asked.include_usage and all(each.end for each in progress):
                event.update(fingerprint)
            yield event
    if asked.include_usage:
        yield {**head, "choices": [], "usage": _usage(asked, progress), **fingerprint}


def _openings(asked: ChatRequest, progress: Sequence[_Progress]) -> list[dict[str, Json]]:
    """The first event of each choice: a role and no content."""
    openings = []
    for index, each in enumerate(progress):
        delta = {"role": "assistant", "content": ""}
        opening: dict[str, Json] = {
            "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}]
        }
        if asked.continuous_usage:
            opening["usage"] = _usage(asked, [each])
        opening["prompt_token_ids"] = list(asked.prompt) if asked.return_token_ids else None
        opening["prompt_text"] = None
        openings.append(opening)
    return openings


def _chunk(index: int, progress: _Progress, step: Step, asked: ChatRequest) -> Json:
    """What a token sends; None where it changes nothing that the client asked to see."""
    deltas, scores = _take(progress, step, asked)
    delta = _delta(progress, deltas, asked)
    silent = not asked.include_reasoning or not (asked.return_token_ids or scores)
    if not delta and silent and step.finish_reason is None:
        return None
    chunk: dict[str, Json] = {
        "index": index,
        "delta": delta,
        "logprobs": {"content": scores} if scores else None,
        "finish_reason": progress.finish_reason(),
    }
    if step.finish_reason is not None:
        chunk["stop_reason"] = step.stop_reason
    chunk["token_ids"] = [step.token_id] if asked.shows_token_ids else None
    return chunk


def _delta(progress: _Progress, deltas: Sequence[Delta], asked: ChatRequest) -> dict[str, Json]:
    delta: dict[str, Json] = {}
    for each in deltas:
        kind = each.part.kind
        if kind == "call":
            delta.setdefault("tool_calls", []).append(_call_delta(progress, each))
        elif each.text and (kind == "content" or (kind == "reasoning" and asked.include_reasoning)):
            delta[kind] = delta.get(kind, "") + each.text
    if delta and not asked.include_reasoning:
        delta["reasoning"] = None
    return delta


def _call_delta(progress: _Progress, delta: Delta) -> Json:
    if not delta.new:
        return {"index": progress.calls - 1, "function": {"arguments": delta.text}}
    progress.calls += 1
    return {
        "id": f"chatcmpl-tool-{random_hex()}",
        "type": "function",
        "index": progress.calls - 1,
        "function": {"name": delta.part.name, "arguments": ""},
    }


# -- the renderer -----------------------------------------------------------------------------------


def _rendered(service: Service, asked: ChatRequest) -> Json:
    given = asked.parameters
    return {
        "request_id": asked.id,
        "token_ids": list(asked.prompt),
        "token_offsets": None,
        "features": None,
        "content_parts": None,
        "sampling_params": {
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "repetition_penalty": 1.0,
            "temperature": given.temperature,
            "top_p": given.top_p,
            "min_p": 0.0,
            "stop": list(given.stop),
            "stop_token_ids": list(given.stop_token_ids),
            "max_tokens": given.max_tokens,
            "output_kind": 2,
            "skip_clone": True,
            "bad_words": [],
            "skip_reading_prefix_cache": False,
        },
        "model": service.model,
        "reasoning_ended": True,
        "reasoning_parser_kwargs": {
            "chat_template_kwargs": {"add_generation_prompt": True, "continue_final_message": False}
        },
        "return_token_ids": asked.return_token_ids or None,
        "output_mode": "tokens",
        "stream": asked.stream,
        "stream_options": None,
        "cache_salt": given.cache_salt,
        "priority": 0,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
    }
