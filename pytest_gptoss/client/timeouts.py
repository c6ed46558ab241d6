"""How long each wait for a server may last, and which option sets it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Timeouts", "Wait"]

FIRST_TOKEN_BASE_S = 60.0
FIRST_TOKEN_TOKENS_PER_S = 200.0
FIRST_OPTION = "--gptoss-first-token-timeout"
GAP_OPTION = "--gptoss-timeout"


@dataclass(frozen=True, slots=True)
class Wait:
    """A bounded wait in seconds and the option that sets it, for the message when it runs out."""

    seconds: float
    option: str


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds in seconds: for a connection, for the first token, and for the gap between tokens.

    ``first_token`` None: it depends on the prompt's length, see ``first_token_timeout``. ``option`` is the
    one that sets all of them, for messages; None: each has an option of the suite.
    """

    connect: float = 10.0
    first_token: float | None = None
    between_tokens: float = 60.0
    option: str | None = None

    @classmethod
    def for_unary_answers(cls, seconds: float, option: str) -> Timeouts:
        """Bounds for a client of unary answers only: ``seconds`` for each, which ``option`` sets."""
        return cls(first_token=0.0, between_tokens=seconds, option=option)

    def first_token_timeout(self, prompt_tokens_estimate: int) -> float:
        """The longest wait for the first token of a prompt of about so many tokens, in seconds.

        Unless set: 60 s plus 1 s for every 200 tokens. Even a very slow server prefills 200 tokens a second;
        the bound is there for servers that hang.
        """
        if self.first_token is not None:
            return self.first_token
        return FIRST_TOKEN_BASE_S + prompt_tokens_estimate / FIRST_TOKEN_TOKENS_PER_S

    def until_first_token(self, prompt_tokens_estimate: int) -> Wait:
        """The wait for the first token of a streamed answer."""
        return Wait(self.first_token_timeout(prompt_tokens_estimate), self.option or FIRST_OPTION)

    def until_unary_answer(self, prompt_tokens_estimate: int) -> Wait:
        """The wait for a unary answer: a prefill and one gap between tokens."""
        prefill = self.first_token_timeout(prompt_tokens_estimate)
        return Wait(prefill + self.between_tokens, self.option or FIRST_OPTION)

    @property
    def until_next_token(self) -> Wait:
        """The wait for the next token of a stream, for its end marks, and for a small unary answer."""
        return Wait(self.between_tokens, self.option or GAP_OPTION)
