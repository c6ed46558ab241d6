"""What a complete streamed answer has: its end marks, and counts that agree. Anything less is a failure."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gptoss.client.stream_event import Usage
from pytest_gptoss.model.errors import DialectError, StreamError
from pytest_gptoss.model.message import both, listed, say

__all__ = ["require_count", "require_end", "require_no_excess", "require_prompt_count"]

_OTHER_EVENTS = 1000
"""Events that a server may send besides those with tokens: roles, usage, empty ones while it waits."""


def require_no_excess(max_tokens: int, *, ids: int, token_events: int, events: int) -> None:
    """Raise DialectError for more tokens than were asked for, StreamError for events without end."""
    # One token can appear in two events (the end of reasoning and the start of content), not in more.
    if ids > max_tokens or token_events > 2 * max_tokens + 16:
        raise DialectError(
            say(
                "more tokens came than max_tokens {max_tokens} allows: the server does not heed max_tokens",
                max_tokens=max_tokens,
            )
        )
    if events > 4 * max_tokens + _OTHER_EVENTS:
        raise StreamError(
            say(
                "{events} events came for at most {max_tokens} tokens: the stream is no answer",
                events=events,
                max_tokens=max_tokens,
            )
        )


def require_end(
    *, finish_reason: str | None, usage: Usage | None, done: bool, token_events: int
) -> tuple[str, Usage]:
    """Finish reason and usage; raises StreamError naming what is missing. ``done``: ``[DONE]`` came."""
    if finish_reason is not None and usage is not None and done:
        return finish_reason, usage
    marks = {"finish_reason": finish_reason is not None, "usage": usage is not None, "[DONE]": done}
    missing = [name for name, there in marks.items() if not there]
    advice = (
        say("the server must heed stream_options.include_usage")
        if missing == ["usage"]
        else say("the server or a proxy cut it; see the server's log")
    )
    lacking = both([listed(missing[:-1]), missing[-1]] if len(missing) > 1 else missing)
    raise StreamError(
        say(
            "the stream ended without {lacking}, after {tokens} events with tokens: {advice}",
            lacking=lacking,
            tokens=token_events,
            advice=advice,
        )
    )


def require_count(ids: int, completion_tokens: int) -> None:
    """Raise DialectError when usage counts another number of tokens than ids came."""
    if ids != completion_tokens:
        raise DialectError(
            say(
                "{ids} token ids came, but usage counts {completion_tokens} completion tokens: "
                "the stream lost tokens or the server miscounts; neither can be compared",
                ids=ids,
                completion_tokens=completion_tokens,
            )
        )


def require_prompt_count(prompt_ids: Sequence[int] | None, prompt_tokens: int) -> None:
    """Raise DialectError when usage counts another number of prompt tokens than ids came; None: no ids."""
    if prompt_ids is not None and len(prompt_ids) != prompt_tokens:
        raise DialectError(
            say(
                "{prompt_ids} prompt ids came, but usage counts {prompt_tokens} prompt tokens: "
                "one of them is wrong",
                prompt_ids=len(prompt_ids),
                prompt_tokens=prompt_tokens,
            )
        )
