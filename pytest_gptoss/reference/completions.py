"""/v1/completions: prompts as text or token ids, continued as they are."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from starlette.requests import Request
from starlette.responses import Response

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.reference.api_errors import bad_request
from pytest_gptoss.reference.choice import Choice, Step, side_by_side
from pytest_gptoss.reference.fields import Fields, read_fields
from pytest_gptoss.reference.parameters import Parameters, read_parameters
from pytest_gptoss.reference.prompts import read_prompts
from pytest_gptoss.reference.replies import EventStream, JsonReply, while_connected
from pytest_gptoss.reference.service import Service, request_id, service_of
from pytest_gptoss.reference.token_scores import ScoreTable, prompt_scores
from pytest_gptoss.reference.tokens import decode

__all__ = ["complete_text"]

_DEFAULT_MAX_TOKENS = 16


@dataclass(frozen=True, slots=True)
class TextRequest:
    """A checked request. ``echo_only``: the prompt is wanted, scored perhaps, and no continuation."""

    id: str
    prompts: tuple[tuple[int, ...], ...]
    parameters: Parameters
    echo: bool
    echo_only: bool
    return_token_ids: bool
    ids_for_tokens: bool
    stream: bool
    include_usage: bool
    continuous_usage: bool

    def echoed(self, prompt: Sequence[int]) -> str:
        """The prompt's text where the answer's begins with it: vLLM leaves it out beside token ids."""
        return decode(prompt) if self.echo and not self.return_token_ids else ""


async def complete_text(request: Request) -> Response:
    """Continue one or several prompts, whole or as a stream."""
    service = service_of(request)
    asked = _read(request, await read_fields(request), service)
    choices = [
        Choice(service, prompt, asked.parameters, number=number)
        for prompt in asked.prompts
        for number in range(asked.parameters.n)
    ]
    if asked.stream:
        return EventStream(_events(service, asked, choices))
    return JsonReply(await while_connected(request.receive, _whole(service, asked, choices)))


def _read(request: Request, fields: Fields, service: Service) -> TextRequest:
    service.check_model(fields)
    stream = fields.flag("stream")
    options = fields.part("stream_options") or Fields({})
    echo = fields.flag("echo")
    max_tokens = fields.integer("max_tokens")
    echo_only = echo and max_tokens == 0
    parameters = read_parameters(
        fields,
        max_tokens=1 if echo_only else _DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens,
        logprobs=fields.integer("logprobs"),
        stream=stream,
        most=service.max_logprobs,
    )
    if echo and parameters.prompt_logprobs is None:
        if stream and parameters.logprobs is not None:
            raise bad_request("echo with logprobs is not supported by the reference server in a stream")
        parameters = replace(parameters, prompt_logprobs=parameters.logprobs)
    prompts = read_prompts(fields, "prompt", service)
    return TextRequest(
        id=request_id(request, fields, "cmpl"),
        prompts=tuple(service.shortened(prompt) for prompt in prompts),
        parameters=parameters,
        echo=echo,
        echo_only=echo_only,
        return_token_ids=fields.flag("return_token_ids"),
        ids_for_tokens=fields.flag("return_tokens_as_token_ids"),
        stream=stream,
        include_usage=options.flag("include_usage"),
        continuous_usage=options.flag("include_usage") and options.flag("continuous_usage_stats"),
    )


@dataclass(slots=True)
class _Progress:
    """What is known of one choice so far."""

    scores: ScoreTable
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    end: Step | None = None


def _take(progress: _Progress, step: Step, asked: TextRequest) -> str:
    """Let a choice grow by one token; the text that this adds."""
    progress.token_ids.append(step.token_id)
    if step.finish_reason is not None:
        progress.end = step
    if step.logprobs is not None and not asked.echo_only:
        progress.scores.add(step.token_id, step.logprobs)
    return "" if asked.echo_only else step.text


# -- the whole answer ---------------------------------------------------------------------------


async def _whole(service: Service, asked: TextRequest, choices: Sequence[Choice]) -> Json:
    progress = [_Progress(ScoreTable(asked.ids_for_tokens)) for _ in choices]
    async with aclosing(side_by_side(choices)) as steps:
        async for index, step in steps:
            if not progress[index].token_ids:
                _echo_scores(progress[index], choices[index], asked)
            progress[index].text += _take(progress[index], step, asked)
    return {
        "id": asked.id,
        "object": "text_completion",
        "created": int(time.time()),
        "model": service.model,
        "choices": [_choice(index, choice, progress[index], asked) for index, choice in enumerate(choices)],
        "service_tier": None,
        "system_fingerprint": service.fingerprint,
        "usage": {
            **_usage(sum(map(len, asked.prompts)), progress),
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        },
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def _echo_scores(progress: _Progress, choice: Choice, asked: TextRequest) -> None:
    """Begin an echoed answer's scores with those of its prompt."""
    scores = choice.prompt_logprobs
    if not asked.echo or asked.parameters.logprobs is None or scores is None:
        return
    for token_id, each in zip(choice.prompt, scores, strict=True):
        progress.scores.add(token_id, each)


def _choice(index: int, choice: Choice, progress: _Progress, asked: TextRequest) -> Json:
    scores = choice.prompt_logprobs
    return {
        "index": index,
        "text": asked.echoed(choice.prompt) + progress.text,
        "logprobs": progress.scores.take() if asked.parameters.logprobs is not None else None,
        "finish_reason": progress.end and progress.end.finish_reason,
        "stop_reason": progress.end and progress.end.stop_reason,
        "token_ids": progress.token_ids if asked.return_token_ids else None,
        "prompt_logprobs": None if scores is None else prompt_scores(choice.prompt, scores),
        "prompt_token_ids": list(choice.prompt) if asked.return_token_ids else None,
        "routed_experts": None,
    }


def _usage(prompt_tokens: int, progress: Sequence[_Progress]) -> dict[str, Json]:
    said = sum(len(each.token_ids) for each in progress)
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + said,
        "completion_tokens": said,
    }


# -- the stream -----------------------------------------------------------------------------------


async def _events(
    service: Service, asked: TextRequest, choices: Sequence[Choice]
) -> AsyncGenerator[Json, None]:
    progress = [_Progress(ScoreTable(asked.ids_for_tokens)) for _ in choices]
    head = {
        "id": asked.id,
        "object": "text_completion",
        "created": int(time.time()),
        "model": service.model,
    }
    fingerprint = {"system_fingerprint": service.fingerprint}
    async with aclosing(side_by_side(choices)) as steps:
        async for index, step in steps:
            event = {**head, "choices": [_chunk(index, choices[index], progress[index], step, asked)]}
            if asked.continuous_usage:
                event["usage"] = _usage(len(choices[index].prompt), [progress[index]])
            elif not asked.include_usage and all(each.end for each in progress):
                event.update(fingerprint)
            yield event
    if asked.include_usage:
        usage = _usage(sum(map(len, asked.prompts)), progress)
        yield {**head, "choices": [], "usage": usage, **fingerprint}


def _chunk(index: int, choice: Choice, progress: _Progress, step: Step, asked: TextRequest) -> Json:
    first = not progress.token_ids
    text = _take(progress, step, asked)
    return {
        "index": index,
        "text": asked.echoed(choice.prompt) + text if first else text,
        "logprobs": progress.scores.take() if asked.parameters.logprobs is not None else None,
        "finish_reason": step.finish_reason,
        "stop_reason": step.stop_reason,
        "prompt_token_ids": list(choice.prompt) if first and asked.return_token_ids else None,
        "token_ids": [step.token_id] if asked.return_token_ids else None,
    }
