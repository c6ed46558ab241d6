"""Who a server is and what it can do: one small request for each capability, asked once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from pytest_gptoss.client.http import ServedModel, VllmClient
from pytest_gptoss.client.metrics_page import metric_names
from pytest_gptoss.model.errors import ConnectError, RequestError, RequestTimeout, StatusError, TlsError
from pytest_gptoss.model.inputs import Message, Prompt, TokenSequence
from pytest_gptoss.model.message import both, say
from pytest_gptoss.model.results import Generation
from pytest_gptoss.model.subjects import Capabilities, Device, Role

__all__ = ["probe"]

Result = TypeVar("Result")

_PROMPT = Prompt("probe", (Message("user", "Hi"),))
_TOKENS = (976, 4853)
""""The quick" in o200k; small enough for any vocabulary."""
_TEXT = "The quick"


async def probe(
    client: VllmClient, *, role: Role, name: str, label: str | None = None, model: str | None = None
) -> Device:
    """Ask a server for its model and its capabilities, and set ``client.model``.

    It sends some eight small requests. A missing capability leaves a note with the reason. Raises
    RequestError when the server cannot be reached, refuses the key, lists no ``model`` of that name, or
    lists several and none is named.
    """
    served = _chosen(client, await client.models(), model or client.model)
    client.model = served.id
    version = await client.version()
    return Device(
        role=role,
        name=name,
        url=client.endpoint.root,
        label=label or _label(version) or name,
        model=served.id,
        server_version=version,
        max_model_len=served.max_model_len,
        capabilities=await _capabilities(client),
    )


def _label(version: str | None) -> str | None:
    """The version as a label: vLLM reports a bare number, other servers a text with their name."""
    return f"vLLM {version}" if version and version[0].isdigit() else version


def _chosen(client: VllmClient, listed: tuple[ServedModel, ...], wanted: str | None) -> ServedModel:
    names = ", ".join(each.id for each in listed) or "none"
    place = client.endpoint.url("/v1/models")
    if wanted is not None:
        for each in listed:
            if each.id == wanted:
                return each
        raise RequestError(
            say(
                "GET {place}: model {wanted} is not served; served: {names}: correct {model_option}",
                place=place,
                wanted=repr(wanted),
                names=names,
                model_option=client.model_option,
            )
        )
    if len(listed) != 1:
        raise RequestError(
            say(
                "GET {place}: {models} models are served ({names}): name one with {model_option}",
                place=place,
                models=len(listed),
                names=names,
                model_option=client.model_option,
            )
        )
    return listed[0]


async def _capabilities(client: VllmClient) -> Capabilities:
    notes: dict[str, str] = {}
    answer = await _chat(client, notes)
    completion = await _attempt(
        notes,
        "token_prompts",
        lambda: client.complete(_TOKENS, prompt_id="probe", max_tokens=1, top_logprobs=None),
    )
    scored = await _attempt(
        notes, "prompt_logprobs", lambda: client.score(TokenSequence("probe", _TOKENS), top=1)
    )
    states = await _attempt(notes, "pooling", lambda: client.hidden(_TOKENS, "probe"))
    tokens = await _attempt(notes, "tokenize", lambda: client.tokenize(_TEXT))
    metrics = await _attempt(notes, "metrics", client.metrics_text)
    if metrics is not None and "vllm:" not in metrics:
        names = map(client.scrubbed, metric_names(metrics, most=3))
        held = ", ".join(names) or say("nothing that Prometheus reads")
        notes["metrics"] = say(
            "{place} holds no vllm: counters but {held}: a router's or a gateway's? give the "
            "vLLM server's own address",
            place=client.endpoint.url("/metrics"),
            held=held,
        )
    return Capabilities(
        chat=answer is not None,
        token_ids=answer is not None and "token_ids" not in notes,
        logprobs=answer is not None and "logprobs" not in notes,
        prompt_logprobs=scored is not None,
        token_prompts=completion is not None,
        pooling=states is not None,
        tokenize=tokens is not None,
        metrics="metrics" not in notes,
        notes=notes,
    )


async def _chat(client: VllmClient, notes: dict[str, str]) -> Generation | None:
    """One token of chat with ids and log-probabilities; without the latter where that request fails."""
    answer = await _attempt(notes, "logprobs", lambda: client.chat(_PROMPT, max_tokens=1, top_logprobs=1))
    if answer is None:
        answer = await _attempt(notes, "chat", lambda: client.chat(_PROMPT, max_tokens=1, top_logprobs=None))
    elif answer.top is None:
        notes["logprobs"] = say("the answer holds no log-probabilities by token id")
    if answer is None:
        notes["logprobs"] = notes["token_ids"] = notes["chat"]
    elif answer.token_ids is None or answer.prompt_token_ids is None:
        ids = {"token_ids": answer.token_ids, "prompt_token_ids": answer.prompt_token_ids}
        lacking = both(name for name, value in ids.items() if value is None)
        notes["token_ids"] = say(
            "the answer lacks {lacking}: return_token_ids is not heeded", lacking=lacking
        )
    return answer


async def _attempt(
    notes: dict[str, str], capability: str, ask: Callable[[], Awaitable[Result]]
) -> Result | None:
    """The answer, or None and a note why not.

    A server that is gone or refuses the key is no missing capability: those errors are raised.
    """
    try:
        return await ask()
    except (ConnectError, TlsError, RequestTimeout):
        raise
    except StatusError as error:
        if error.status in (401, 403):
            raise
        notes[capability] = str(error)
    except RequestError as error:
        notes[capability] = str(error)
    return None
