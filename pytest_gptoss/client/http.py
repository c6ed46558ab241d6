"""The client of one vLLM server: greedy answers, teacher-forced scores, hidden states, and facts about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType

from pytest_gptoss.client.bodies import condense
from pytest_gptoss.client.channel import Answer, Channel
from pytest_gptoss.client.endpoint import Endpoint
from pytest_gptoss.client.forcing import forced_body, forced_logprob
from pytest_gptoss.client.generation import (
    StreamedGeneration,
    chat_body,
    completion_body,
    estimated_tokens,
    prompt_only,
)
from pytest_gptoss.client.logprobs import token_ids as checked_token_ids
from pytest_gptoss.client.models import ServedModel, field_of, served_models
from pytest_gptoss.client.next_logprobs import NextLogprobs, next_logprobs, next_logprobs_body
from pytest_gptoss.client.pooling import (
    Encoding,
    hidden_body,
    require_numbers,
    states_from_bytes,
    states_from_json,
)
from pytest_gptoss.client.scoring import score_body, scored_sequence
from pytest_gptoss.client.timeouts import Timeouts
from pytest_gptoss.client.unary import unary_body, unary_generation
from pytest_gptoss.model.errors import DialectError, RequestError, StatusError
from pytest_gptoss.model.inputs import Prompt, TokenSequence
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.paths import CHAT_PATH, COMPLETIONS_PATH, POOLING_PATH
from pytest_gptoss.model.results import Generation, HiddenStates, ScoredSequence
from pytest_gptoss.model.subjects import Role

__all__ = ["ServedModel", "Timeouts", "VllmClient"]

_ANSWER_BYTES = 2**20
_SCORE_BYTES = 8 * 2**10
"""For one position of ``prompt_logprobs``: 21 entries take 2 KiB."""
_NEXT_BYTES = 256
"""For one next token, named by its id, with its log-probability: 75 in vLLM's answers."""
_STATE_BYTES: Mapping[Encoding, int] = MappingProxyType({"bytes": 16 * 2**10, "float": 64 * 2**10})
"""For one hidden state: width 2,880 takes 11 KiB as bytes, 58 KiB as JSON."""
_STATES_BYTES: Mapping[Encoding, int] = MappingProxyType({"bytes": 64 * 2**20, "float": 32 * 2**20})
"""For all states of a request. Numbers as JSON take 13 times the memory when parsed."""


class VllmClient:
    """Asks one server; an async context manager. Requests may run concurrently.

    Every method that sends something raises a RequestError (ConnectError, TlsError, RequestTimeout,
    StatusError, StreamError, DialectError) whose message of one line names the URL, what came, and the way
    out. A failed request is not sent again.

    ``role`` and ``url_option`` (default ``--<role>-url``) only choose the options and variables
    that messages name. ``ca_bundle`` replaces the public certificate authorities. The proxies of
    the environment are ignored unless ``trust_env``. Raises UsageError for an unreadable bundle.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        role: Role,
        timeouts: Timeouts | None = None,
        ca_bundle: Path | None = None,
        trust_env: bool = False,
        url_option: str | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.role: Role = role
        self.timeouts = timeouts or Timeouts()
        self.model = endpoint.model
        """The served model that requests name; None: the server's default. ``probe`` sets it."""
        self.ca_bundle = ca_bundle
        self.trust_env = trust_env
        self._pooling_encoding: Encoding = "bytes"
        self._channel = Channel(
            endpoint,
            self.timeouts,
            role=role,
            url_option=url_option or f"--{role}-url",
            ca_bundle=ca_bundle,
            trust_env=trust_env,
        )

    async def __aenter__(self) -> VllmClient:
        await self._channel.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._channel.__aexit__(kind, error, traceback)

    @property
    def model_option(self) -> str:
        """The option that names this server's model."""
        return self._channel.interpreter.model_option

    async def chat(
        self,
        prompt: Prompt,
        *,
        max_tokens: int,
        top_logprobs: int | None = 20,
        cache_salt: str | None = None,
        more: Mapping[str, Json] | None = None,
    ) -> Generation:
        """Answer a prompt's messages greedily; ``top_logprobs`` None asks for no log-probabilities.

        ``more`` are further fields of the request: tools, reasoning effort.
        """
        return await self._generate(
            CHAT_PATH,
            {**chat_body(prompt.messages, max_tokens=max_tokens, top=top_logprobs), **(more or {})},
            prompt_id=prompt.id,
            prompt_tokens=estimated_tokens(prompt.messages),
            answer=StreamedGeneration(max_tokens),
            top=top_logprobs,
            cache_salt=cache_salt,
        )

    async def chat_timed(
        self, prompt: Prompt, *, max_tokens: int, cache_salt: str | None = None
    ) -> tuple[Generation, float | None]:
        """Answer greedily; returns the answer and its TTFT in ms, None when no token came.

        TTFT runs from the request's last byte written to the first event that carries a token; a role
        alone or an empty delta is none. No log-probabilities are asked for.
        """
        watch = _Stopwatch(StreamedGeneration(max_tokens))
        generation = await self._generate(
            CHAT_PATH,
            chat_body(prompt.messages, max_tokens=max_tokens, top=None),
            prompt_id=prompt.id,
            prompt_tokens=estimated_tokens(prompt.messages),
            answer=watch.answer,
            take=watch.take,
            written=watch.start,
            top=None,
            cache_salt=cache_salt,
        )
        return generation, watch.first_token_ms

    async def chat_unary(
        self, prompt: Prompt, *, max_tokens: int, more: Mapping[str, Json] | None = None
    ) -> Generation:
        """Answer greedily without streaming and without log-probabilities."""
        body = unary_body(chat_body(prompt.messages, max_tokens=max_tokens, top=None))
        answer = await self._channel.post(
            CHAT_PATH,
            self._addressed({**body, **(more or {})}),
            wait=self.timeouts.until_unary_answer(estimated_tokens(prompt.messages)),
        )
        with self._channel.placed(self._channel.where("POST", CHAT_PATH)):
            generation = unary_generation(answer.json(), prompt_id=prompt.id, max_tokens=max_tokens)
            self._channel.refuse_key(*_texts(generation))
            return generation

    async def run_on(
        self, token_ids: tuple[int, ...], *, max_tokens: int, arrived: Callable[[int], object]
    ) -> None:
        """Continue token ids without an early end; ``arrived`` is called with the count of tokens so far.

        Meant to be cancelled: that closes the connection, as a client does that goes away.
        """
        answer = StreamedGeneration(max_tokens)
        count = 0

        def take(data: str) -> bool:
            nonlocal count
            carried = answer.take(data)
            if carried:
                count += 1
                arrived(count)
            return carried

        body = completion_body(token_ids, max_tokens=max_tokens, top=None)
        await self._channel.post_stream(
            COMPLETIONS_PATH,
            self._addressed({**body, "ignore_eos": True, "stop_token_ids": []}),
            take=take,
            first=self.timeouts.until_first_token(len(token_ids)),
        )

    async def complete(
        self,
        token_ids: tuple[int, ...],
        *,
        prompt_id: str,
        max_tokens: int,
        top_logprobs: int | None = 20,
        cache_salt: str | None = None,
    ) -> Generation:
        """Continue token ids greedily, ending where a chat answer would.

        No harmony parsing happens on this endpoint: all text is in ``content`` as the server decodes
        it (without special tokens), ``reasoning`` is empty and there are no tool calls.
        """
        generation, _ = await self.complete_counted(
            token_ids,
            prompt_id=prompt_id,
            max_tokens=max_tokens,
            top_logprobs=top_logprobs,
            cache_salt=cache_salt,
        )
        return generation

    async def complete_counted(
        self,
        token_ids: tuple[int, ...],
        *,
        prompt_id: str,
        max_tokens: int,
        top_logprobs: int | None,
        cache_salt: str | None,
    ) -> tuple[Generation, int | None]:
        """As ``complete``; second, the prompt tokens from the prefix cache, None where usage tells none."""
        answer = StreamedGeneration(max_tokens)
        generation = await self._generate(
            COMPLETIONS_PATH,
            completion_body(token_ids, max_tokens=max_tokens, top=top_logprobs),
            prompt_id=prompt_id,
            prompt_tokens=len(token_ids),
            answer=answer,
            top=top_logprobs,
            cache_salt=cache_salt,
        )
        return generation, answer.cached_tokens

    async def render(self, prompt: Prompt) -> Generation:
        """The ids of a prompt as the server renders it; one token is generated and dropped.

        The ids come first in the stream, so they are returned even where the answer after them fails.
        """
        return await self._prompt_alone(
            CHAT_PATH,
            chat_body(prompt.messages, max_tokens=1, top=None),
            prompt_id=prompt.id,
            prompt_tokens=estimated_tokens(prompt.messages),
        )

    async def render_ids(self, token_ids: tuple[int, ...], *, prompt_id: str) -> Generation:
        """The ids that the server makes of a prompt of token ids; otherwise as ``render``."""
        return await self._prompt_alone(
            COMPLETIONS_PATH,
            completion_body(token_ids, max_tokens=1, top=None),
            prompt_id=prompt_id,
            prompt_tokens=len(token_ids),
        )

    async def force(self, prompt: tuple[int, ...], token: int, *, top: int = 20) -> float:
        """The log-probability of ``token`` after the prompt, in nats; one token is generated."""
        answer = await self._generate(
            COMPLETIONS_PATH,
            forced_body(prompt, token, top=top),
            prompt_id="forced",
            prompt_tokens=len(prompt),
            answer=StreamedGeneration(1),
            top=top,
            cache_salt=None,
        )
        with self._channel.placed(self._channel.where("POST", COMPLETIONS_PATH)):
            return forced_logprob(answer, token)

    async def score(self, sequence: TokenSequence, *, top: int = 20) -> ScoredSequence:
        """Score a sequence's tokens from ``sequence.first`` on, each given all before it (teacher forcing).

        Costs the server one prefill; the answer takes up to 8 KiB a token.
        """
        answer = await self._channel.post(
            COMPLETIONS_PATH,
            self._addressed(score_body(sequence, top=top)),
            wait=self.timeouts.until_unary_answer(len(sequence.token_ids)),
            max_bytes=_ANSWER_BYTES + len(sequence.token_ids) * _SCORE_BYTES,
        )
        with self._channel.placed(self._channel.where("POST", COMPLETIONS_PATH)):
            return scored_sequence(answer.json(), sequence, top=top)

    async def next_logprobs(self, token_ids: tuple[int, ...], *, count: int, cache_salt: str) -> NextLogprobs:
        """The ``count`` most likely tokens after ``token_ids``; one is generated. 4,096 take some 300 kB."""
        answer = await self._channel.post(
            COMPLETIONS_PATH,
            self._addressed(next_logprobs_body(token_ids, count, cache_salt)),
            wait=self.timeouts.until_unary_answer(len(token_ids)),
            max_bytes=_ANSWER_BYTES + count * _NEXT_BYTES,
        )
        with self._channel.placed(self._channel.where("POST", COMPLETIONS_PATH)):
            return next_logprobs(answer.json())

    async def hidden(self, token_ids: tuple[int, ...], sequence_id: str) -> HiddenStates:
        """Fetch the last-layer states of the tokens, after the final norm, from a pooling server.

        A server that refuses raw bytes is asked for JSON numbers from then on.
        """
        if self._pooling_encoding == "bytes":
            try:
                return await self._states_as_bytes(token_ids, sequence_id)
            except StatusError as error:
                if error.status not in (400, 422):
                    raise
        states = await self._states_as_numbers(token_ids, sequence_id)
        self._pooling_encoding = "float"
        return states

    async def tokenize(self, text: str) -> tuple[int, ...]:
        """Turn a text into token ids. Control tokens in the text become their ids; none are added."""
        body = self._addressed({"prompt": text, "add_special_tokens": False})
        answer = await self._channel.post("/tokenize", body, wait=self.timeouts.until_next_token)
        with self._channel.placed(self._channel.where("POST", "/tokenize")):
            return checked_token_ids(field_of(answer.json(), "tokens"), "tokens")

    async def models(self) -> tuple[ServedModel, ...]:
        """List the served models."""
        return (await self.models_and_date())[0]

    async def models_and_date(self) -> tuple[tuple[ServedModel, ...], str | None]:
        """List the served models, with the answer's Date header."""
        answer = await self._channel.get("/v1/models", wait=self.timeouts.until_next_token)
        with self._channel.placed(self._channel.where("GET", "/v1/models")):
            listed = served_models(answer.json())
            self._channel.refuse_key(*(each.id for each in listed))
        return listed, answer.headers.get("date")

    async def detokenize(self, token_ids: tuple[int, ...]) -> str:
        """Turn token ids into text, control tokens included."""
        body = self._addressed({"tokens": list(token_ids)})
        answer = await self._channel.post("/detokenize", body, wait=self.timeouts.until_next_token)
        with self._channel.placed(self._channel.where("POST", "/detokenize")):
            return str(field_of(answer.json(), "prompt"))

    async def server_info(self) -> Json:
        """Read ``/server_info``, which vLLM serves only in its development mode."""
        answer = await self._channel.get(
            "/server_info?config_format=json", wait=self.timeouts.until_next_token
        )
        with self._channel.placed(self._channel.where("GET", "/server_info")):
            return answer.json()

    async def send(self, path: str, content: bytes) -> None:
        """POST bytes unchanged with the content type of JSON; only the status of the answer counts."""
        await self._channel.post_bytes(path, content, wait=self.timeouts.until_next_token)

    def scrubbed(self, text: str) -> str:
        """``text`` without the API key, which a server may echo."""
        return self._channel.scrubbed(text)

    async def version(self) -> str | None:
        """The server's version; None when it does not report one."""
        try:
            answer = await self._channel.get("/version", wait=self.timeouts.until_next_token)
            with self._channel.placed(self._channel.where("GET", "/version")):
                version = field_of(answer.json(), "version")
        except (StatusError, DialectError):
            return None
        return self.scrubbed(condense(version)) if isinstance(version, str) else None

    async def metrics_text(self) -> str:
        """Read the server's ``/metrics``, in Prometheus' text form."""
        answer = await self._channel.get("/metrics", wait=self.timeouts.until_next_token)
        return answer.body.decode("utf-8", "replace")

    async def _generate(
        self,
        path: str,
        body: dict[str, Json],
        *,
        prompt_id: str,
        prompt_tokens: int,
        answer: StreamedGeneration,
        top: int | None,
        cache_salt: str | None,
        take: Callable[[str], bool] | None = None,
        written: Callable[[], None] | None = None,
    ) -> Generation:
        salt = {} if cache_salt is None else {"cache_salt": cache_salt}
        done = await self._channel.post_stream(
            path,
            self._addressed({**body, **salt}),
            take=take or answer.take,
            first=self.timeouts.until_first_token(prompt_tokens),
            written=written,
        )
        with self._channel.placed(self._channel.where("POST", path)):
            generation = answer.finished(prompt_id=prompt_id, top=top, done=done)
            self._channel.refuse_key(*_texts(generation))
            return generation

    async def _prompt_alone(
        self, path: str, body: dict[str, Json], *, prompt_id: str, prompt_tokens: int
    ) -> Generation:
        answer = StreamedGeneration(1)
        try:
            generation = await self._generate(
                path,
                body,
                prompt_id=prompt_id,
                prompt_tokens=prompt_tokens,
                answer=answer,
                top=None,
                cache_salt=None,
            )
        except RequestError:
            with self._channel.placed(self._channel.where("POST", path)):
                ids = answer.prompt_ids
            if ids is None:
                raise
            return prompt_only(prompt_id, ids)
        return prompt_only(prompt_id, generation.prompt_token_ids, counted=generation.prompt_tokens)

    async def _states_as_bytes(self, token_ids: tuple[int, ...], sequence_id: str) -> HiddenStates:
        answer = await self._pooled(token_ids, "bytes")
        with self._channel.placed(self._channel.where("POST", POOLING_PATH)):
            return states_from_bytes(
                answer.headers, answer.body, sequence_id=sequence_id, token_ids=token_ids
            )

    async def _states_as_numbers(self, token_ids: tuple[int, ...], sequence_id: str) -> HiddenStates:
        answer = await self._pooled(token_ids, "float")
        with self._channel.placed(self._channel.where("POST", POOLING_PATH)):
            require_numbers(answer.body, len(token_ids))
            return states_from_json(answer.json(), sequence_id=sequence_id, token_ids=token_ids)

    async def _pooled(self, token_ids: tuple[int, ...], encoding: Encoding) -> Answer:
        return await self._channel.post(
            POOLING_PATH,
            self._addressed(hidden_body(token_ids, encoding)),
            wait=self.timeouts.until_unary_answer(len(token_ids)),
            max_bytes=min(_ANSWER_BYTES + len(token_ids) * _STATE_BYTES[encoding], _STATES_BYTES[encoding]),
        )

    def _addressed(self, body: dict[str, Json]) -> dict[str, Json]:
        return body if self.model is None else {"model": self.model, **body}


@dataclass(slots=True)
class _Stopwatch:
    """Notes when a request was written and when its first token came, in s of ``time.perf_counter``."""

    answer: StreamedGeneration
    started: float | None = None
    first: float | None = None

    def start(self) -> None:
        self.started = time.perf_counter()

    def take(self, data: str) -> bool:
        arrived = time.perf_counter()  # before the event is parsed
        carried = self.answer.take(data)
        if carried and self.first is None:
            self.first = arrived
        return carried

    @property
    def first_token_ms(self) -> float | None:
        if self.first is None or self.started is None:
            return None
        return (self.first - self.started) * 1000


def _texts(generation: Generation) -> Iterator[str]:
    """All texts in an answer that the server wrote."""
    yield from (generation.reasoning, generation.content, generation.finish_reason or "")
    yield "".join(word for word in generation.words or () if word)
    for call in generation.tool_calls:
        yield from (call.name, call.arguments)
