"""At which positions of the fixed sequences hidden states are recovered: the same on every device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gptoss.model.inputs import TokenSequence

__all__ = ["spread_positions"]

_GOLDEN = 0.6180339887498949
"""Steps of this size around a circle leave no gap much larger than the others."""


def spread_positions(corpus: Sequence[TokenSequence], count: int) -> Mapping[str, tuple[int, ...]]:
    """``count`` positions over all sequences, by sequence id, rising; never the first token's.

    Every sequence has one where they suffice, long ones have more. Where in its sequence a position lies
    moves on from sequence to sequence, so that all together lie near the beginning and far from it alike.
    """
    shares = _shares([len(each.token_ids) - 1 for each in corpus], count)
    chosen = [(each, share) for each, share in zip(corpus, shares, strict=True) if share]
    return {
        each.id: _positions(len(each.token_ids) - 1, share, (0.5 + number * _GOLDEN) % 1)
        for number, (each, share) in enumerate(chosen)
    }


def _positions(last: int, share: int, offset: float) -> tuple[int, ...]:
    """``share`` positions from 1 to ``last``, evenly apart."""
    return tuple(sorted({1 + int((each + offset) * last / share) for each in range(share)}))


def _shares(rooms: Sequence[int], count: int) -> Sequence[int]:
    """How many each sequence gets: one, and more by its ``rooms``; never more than it has room for."""
    fewest = [min(1, room) for room in rooms]
    if sum(fewest) >= count:
        # Too few for all: evenly over the corpus, whose kinds of text stand one after the other.
        chosen = {each * len(rooms) // count for each in range(count)}
        return [least * (number in chosen) for number, least in enumerate(fewest)]
    extra = count - sum(fewest)
    exact = [extra * room / sum(rooms) for room in rooms]
    shares = [least + int(part) for least, part in zip(fewest, exact, strict=True)]
    by_rest = sorted(range(len(rooms)), key=lambda each: (-(exact[each] % 1), each))
    for each in by_rest[: count - sum(shares)]:
        shares[each] += 1
    return [min(share, room) for share, room in zip(shares, rooms, strict=True)]
