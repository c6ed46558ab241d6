"""Coroutines run from synchronous code, each on a new event loop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

__all__ = ["run_async", "together"]

Result = TypeVar("Result")


def run_async(work: Coroutine[Any, Any, Result], *, fast: bool = False) -> Result:
    """Run a coroutine on a new event loop; returns its result and raises what it raises.

    asyncio allows one running loop a thread. Where this thread has one (a fixture requested inside an async
    test), a new thread runs the coroutine. ``fast`` uses uvloop where it is installed.
    """
    run = _fast_run() if fast else asyncio.run
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run(work)
    outcome: list[Result] = []
    failure: list[BaseException] = []

    def carry() -> None:
        try:
            outcome.append(run(work))
        except BaseException as error:  # handed to the caller's thread below
            failure.append(error)

    thread = threading.Thread(target=carry, name="gptoss-runner", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


async def together(works: Sequence[Awaitable[None]]) -> None:
    """Await all; the first exception cancels the rest and is raised once they have ended."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def _fast_run() -> Callable[..., Any]:
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.run
    import uvloop

    run: Callable[..., Any] = uvloop.run
    return run
