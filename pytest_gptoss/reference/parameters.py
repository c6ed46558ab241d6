"""The sampling fields that chat and text completions share."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gptoss.model.gptoss import STOP_IDS, VOCABULARY_SIZE
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.reference.api_errors import bad_request, bad_value, invalid
from pytest_gptoss.reference.fields import Fields
from pytest_gptoss.reference.generation import GenerationRequest, Guide

__all__ = ["MAX_LOGPROBS", "Parameters", "read_parameters"]

MAX_LOGPROBS = 20

_LARGEST_SEED = 2**63 - 1
_MOST_CHOICES = 64

_UNSUPPORTED: dict[str, tuple[Json, ...]] = {
    "top_k": (0, -1),
    "min_p": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "best_of": (1,),
    "use_beam_search": (False,),
    "suffix": (),
    "bad_words": ([],),
    "prompt_embeds": (),
    "response_format": ({"type": "text"},),
    "structured_outputs": (),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
}


@dataclass(frozen=True, slots=True)
class Parameters:
    """How to continue a prompt. ``logprobs`` is how many alternatives, 0 the token alone, None none."""

    n: int
    max_tokens: int | None
    min_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]
    stop_token_ids: tuple[int, ...]
    ignore_eos: bool
    allowed_token_ids: tuple[int, ...]
    include_stop: bool
    skip_special_tokens: bool
    logprobs: int | None
    prompt_logprobs: int | None
    cache_salt: str | None

    def request(
        self, prompt: tuple[int, ...], *, choice: int, max_model_len: int, guide: Guide | None = None
    ) -> GenerationRequest:
        """What the engine is asked for one choice; its ``max_tokens`` fits into the context.

        Raises:
            ApiError: no token fits, or fewer than ``min_tokens``.
        """
        room = max_model_len - len(prompt)
        tokens = room if self.max_tokens is None else min(self.max_tokens, room)
        if tokens < 1:
            message = f"max_tokens must be at least 1, got {tokens}."
            raise bad_value(message, param="max_tokens", value=tokens)
        if self.min_tokens > tokens:
            message = f"min_tokens must be less than or equal to max_tokens={tokens}, got {self.min_tokens}."
            raise bad_value(message, param="min_tokens", value=self.min_tokens)
        ends = frozenset(self.stop_token_ids)
        return GenerationRequest(
            prompt=prompt,
            max_tokens=tokens,
            min_tokens=self.min_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=None if self.seed is None else self.seed + choice,
            # The engine's own ignore_eos would also silence the ids that the client itself asked for.
            stop_token_ids=ends if self.ignore_eos else ends.union(STOP_IDS),
            allowed_token_ids=frozenset(self.allowed_token_ids),
            logprobs=self.logprobs,
            prompt_logprobs=self.prompt_logprobs,
            cache_salt=self.cache_salt,
            guide=guide,
        )


def read_parameters(
    fields: Fields, *, max_tokens: int | None, logprobs: int | None, stream: bool, most: int = MAX_LOGPROBS
) -> Parameters:
    """Read and check the fields; ``most`` alternatives of a token may be asked for.

    Raises:
        ApiError: a value is out of range, or asks for what this server cannot do.
    """
    _refuse_unsupported(fields)
    _check_stream_options(fields, stream)
    prompt_logprobs = fields.integer("prompt_logprobs")
    if prompt_logprobs is not None:
        _check_prompt_logprobs(prompt_logprobs, stream, most)
    _check_count("Requested sample logprobs", "logprobs", logprobs, most)
    temperature = fields.number("temperature")
    top_p = fields.number("top_p")
    n = fields.integer("n")
    parameters = Parameters(
        n=1 if n is None else n,
        max_tokens=max_tokens,
        min_tokens=fields.integer("min_tokens") or 0,
        temperature=1.0 if temperature is None else temperature,
        top_p=1.0 if top_p is None else top_p,
        seed=fields.integer("seed"),
        stop=fields.texts("stop"),
        stop_token_ids=fields.integers("stop_token_ids"),
        ignore_eos=fields.flag("ignore_eos"),
        allowed_token_ids=_allowed_token_ids(fields),
        include_stop=fields.flag("include_stop_str_in_output"),
        skip_special_tokens=fields.flag("skip_special_tokens", default=True),
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
        cache_salt=fields.text("cache_salt"),
    )
    _check(parameters)
    return parameters


def _allowed_token_ids(fields: Fields) -> tuple[int, ...]:
    allowed = fields.integers("allowed_token_ids")
    if not allowed and fields.raw("allowed_token_ids") is not None:
        raise bad_value("allowed_token_ids is not None and empty!", param="allowed_token_ids", value=[])
    unknown = [token_id for token_id in allowed if not 0 <= token_id < VOCABULARY_SIZE]
    if unknown:
        message = "allowed_token_ids contains out-of-vocab token id!"
        raise bad_value(message, param="allowed_token_ids", value=unknown)
    return allowed


def _check(given: Parameters) -> None:
    if given.max_tokens is not None and given.max_tokens < 1:
        message = f"max_tokens must be at least 1, got {given.max_tokens}."
        raise bad_value(message, param="max_tokens", value=given.max_tokens)
    if given.n < 1:
        raise bad_value(f"n must be at least 1, got {given.n}.", param="n", value=given.n)
    if given.n > _MOST_CHOICES:
        raise bad_value(f"n must be at most {_MOST_CHOICES}, got {given.n}.", param="n", value=given.n)
    if given.n > 1 and given.temperature == 0:
        raise bad_request(f"n must be 1 when using greedy sampling, got {given.n}.")
    if given.temperature < 0:
        message = f"temperature must be non-negative, got {given.temperature}."
        raise bad_value(message, param="temperature", value=given.temperature)
    if not 0 < given.top_p <= 1:
        raise bad_value(f"top_p must be in (0, 1], got {given.top_p}.", param="top_p", value=given.top_p)
    if given.min_tokens < 0:
        message = f"min_tokens must be greater than or equal to 0, got {given.min_tokens}."
        raise bad_value(message, param="min_tokens", value=given.min_tokens)
    if given.seed is not None and abs(given.seed) > _LARGEST_SEED:
        message = f"Input should be less than or equal to {_LARGEST_SEED}"
        raise invalid("less_than_equal", "body.seed", message, given=given.seed)
    if "" in given.stop:
        raise bad_request("stop cannot contain an empty string.")
    for token_id in given.stop_token_ids:
        if not 0 <= token_id < VOCABULARY_SIZE:
            raise bad_value(
                f"stop_token_ids must hold ids from 0 to {VOCABULARY_SIZE - 1}, got {token_id}.",
                param="stop_token_ids",
                value=token_id,
            )
    if given.cache_salt == "":
        raise bad_value("cache_salt must be a non-empty string if provided.", param="cache_salt")


def _check_stream_options(fields: Fields, stream: bool) -> None:
    if fields.part("stream_options") is not None and not stream:
        message = "Stream options can only be defined when `stream=True`."
        raise bad_value(message, param="stream_options")


def _check_prompt_logprobs(count: int, stream: bool, most: int) -> None:
    if stream:
        message = "`prompt_logprobs` are not available when `stream=True`."
        raise bad_value(message, param="prompt_logprobs")
    _check_count("Requested prompt logprobs", "prompt_logprobs", count, most)


def _check_count(what: str, param: str, count: int | None, most: int) -> None:
    """At most so many alternatives; -1 means the whole vocabulary, which is more."""
    if count is None or 0 <= count <= most:
        return
    if count < -1:
        raise bad_value(f"`{param}` must be a positive value or -1.", param=param, value=count)
    asked = VOCABULARY_SIZE if count == -1 else count
    message = f"{what} of {asked}, which is greater than max allowed: {most}"
    raise bad_value(message, param=param, value=asked)


def _refuse_unsupported(fields: Fields) -> None:
    """Refuse what vLLM honours and this server cannot: another answer in silence would be worse."""
    for name, neutral in _UNSUPPORTED.items():
        value = fields.raw(name)
        if value is not None and value not in neutral:
            raise bad_value(
                f"{name} is not supported by the reference server: leave it out.", param=name, value=value
            )
