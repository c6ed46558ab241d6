"""Whether the token events of a level account for every generated token.

TTFT needs to know that the first event seen is the first there was, TPOT how many tokens it carried. A
gateway that drops events without visible content leaves both unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import LoadLevel, RequestTiming

__all__ = ["SEVERAL_TOKENS", "is_accounted", "tokens_per_event", "why_first_is_late", "why_unaccounted"]

SEVERAL_TOKENS = 1.05
"""Mean tokens of an event from which on the time between events is said to be no time per token."""
NOTABLE_FIRST = 8
"""Tokens from which on a first event is suspicious; harmony's own header, held back, is 3 and a word."""
TIMES_LATER = 2
"""A server that sends several tokens an event has no first one of more than so many times the later ones."""


def is_accounted(request: RequestTiming) -> bool:
    """Whether ids or running usage counts say of every generated token in which event it came."""
    return request.counted_by is not None and sum(request.tokens) == request.completion_tokens


def tokens_per_event(requests: Sequence[RequestTiming]) -> float | None:
    """Mean number of tokens in an event; None without events or where counts do not account for all."""
    events = sum(len(each.token_ns) for each in requests)
    if not events or not all(is_accounted(each) for each in requests):
        return None
    return sum(sum(each.tokens) for each in requests) / events


def why_unaccounted(level: LoadLevel) -> str | None:
    """Why tokens of a level cannot be placed, in a line; None when each is accounted for."""
    unknown = [each for each in level.requests if not is_accounted(each)]
    if not unknown:
        return None
    first = unknown[0]
    return say(
        "generated tokens are not accounted for in {unknown} of {requests} requests: "
        "{id} has {token_ns} events with tokens, and {completion_tokens} tokens by "
        "usage, and neither token_ids nor running usage say which event carried which, "
        "so how many came with or before the first event is unknown; serve a vLLM that "
        "heeds return_token_ids or stream_options.continuous_usage_stats, and let no "
        "gateway drop chunks or fields",
        unknown=len(unknown),
        requests=len(level.requests),
        id=first.id,
        token_ns=len(first.token_ns),
        completion_tokens=first.completion_tokens,
    )


def why_first_is_late(level: LoadLevel) -> str | None:
    """Why the first events of a level are not its first tokens, in a line; None when they are.

    Running usage shows it: in over half of the requests the first event stands for more than 8 tokens and
    more than twice as many as any later one. Ids of events that were dropped are missing, which fails the
    request by itself.
    """
    late = [each for each in level.requests if each.counted_by == "usage" and _first_is_late(each)]
    if 2 * len(late) <= len(level.requests):
        return None
    first = late[0]
    return say(
        "the first events were not passed on in {late} of {requests} requests: with the "
        "first one that came of {id}, usage counts {count} tokens, with later ones at "
        "most {most}; let no gateway drop chunks that carry reasoning or nothing "
        "visible",
        late=len(late),
        requests=len(level.requests),
        id=first.id,
        count=first.tokens[0],
        most=max(first.tokens[1:]),
    )


def _first_is_late(request: RequestTiming) -> bool:
    first, *later = request.tokens or (0,)
    return bool(later) and first > NOTABLE_FIRST and first > TIMES_LATER * max(later)
