"""What goes wrong with one piece of a sequence on purpose, where a defect of serving is on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pytest_gptoss.reference.attend import Layer, attend
from pytest_gptoss.reference.kv_cache import KeyValueCache

__all__ = ["SOUND", "Slip", "attend_halved", "attend_neighbour"]


@dataclass(frozen=True, slots=True)
class Slip:
    """The default is nothing.

    ``shift``: positions that the tokens stand too late. ``halved``: so many of its first tokens attend to
    the later half of what they should see. ``neighbour``: the sequence to whose first ``rows`` keys and
    values a token that is alone attends instead of its own.
    """

    shift: int = 0
    halved: int = 0
    neighbour: KeyValueCache | None = None
    rows: int = 0


SOUND = Slip()


def attend_halved(
    output: Tensor, queries: Tensor, layer: Layer, *, cache: KeyValueCache, start: int, count: int
) -> None:
    """Let the first ``count`` tokens of a piece see only the later half of their window or context.

    ``output`` and scaled ``queries`` [n, heads, head_dim]; the first stands at position ``start``.
    """
    for place in range(min(count, len(queries))):
        stop = start + place + 1
        seen = stop if layer.window is None else min(stop, layer.window)
        keys, values = cache.read(layer.index, stop - (seen + 1) // 2, stop)
        own = slice(place, place + 1)
        output[own] = attend(queries[own], keys.unsqueeze(0), values.unsqueeze(0), layer.sinks)


def attend_neighbour(output: Tensor, query: Tensor, layer: Layer, slip: Slip) -> None:
    """Let one token attend to the neighbour of its ``slip`` as if that one's rows were its own past.

    ``output`` and scaled ``query`` [1, heads, head_dim]; nothing happens without such rows.
    """
    neighbour = slip.neighbour
    if neighbour is None or not neighbour.length:
        return
    stop = min(slip.rows, neighbour.length)
    oldest = 0 if layer.window is None else max(0, stop - layer.window)
    keys, values = neighbour.read(layer.index, oldest, stop)
    output[:] = attend(query, keys.unsqueeze(0), values.unsqueeze(0), layer.sinks)
