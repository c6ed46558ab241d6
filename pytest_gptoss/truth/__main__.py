"""The command: ``python -m pytest_gptoss.truth``; prints its address as one line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Sequence

from pytest_gptoss.servers import lifetime
from pytest_gptoss.truth.queue import QueueLaw
from pytest_gptoss.truth.script import Script
from pytest_gptoss.truth.server import TruthServer

__all__ = ["main"]


def main(argv: Sequence[str]) -> None:
    """Serve until the process is ended."""
    lifetime.end_on_signals()
    parser = argparse.ArgumentParser(prog="python -m pytest_gptoss.truth", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on the loopback (default: a free one)")
    parser.add_argument("--first-token-ms", type=float, default=80.0, help="request read to first token")
    parser.add_argument("--interval-ms", type=float, default=5.0, help="between tokens")
    parser.add_argument("--prompt-ids", action="store_true", help="tell the token ids of chat prompts")
    parser.add_argument("--parent-pid", type=int, help="end when this is no longer the parent")
    _add_queue(parser)
    options = parser.parse_args(argv)
    if options.parent_pid is not None:
        lifetime.end_with_parent(options.parent_pid)
    script = Script(
        first_token_ms=options.first_token_ms,
        interval_ms=options.interval_ms,
        prompt_ids=options.prompt_ids,
    )
    gc.freeze()
    gc.disable()
    if importlib.util.find_spec("uvloop") is None:
        asyncio.run(_serve(script, _queue_law(options), options.port))
    else:
        import uvloop

        uvloop.run(_serve(script, _queue_law(options), options.port))


def _add_queue(parser: argparse.ArgumentParser) -> None:
    queue = parser.add_argument_group("queue", "with a service time, requests wait for a slot, in turn")
    queue.add_argument("--service-ms", type=_above_0, help="mean time of service; none: there is no queue")
    queue.add_argument("--service", choices=("fixed", "exponential"), default="fixed", help="its law")
    queue.add_argument("--service-seed", type=int, default=0, help="of the exponential law")
    queue.add_argument("--slots", type=_count, default=1, help="requests served at a time (default: 1)")
    queue.add_argument(
        "--first-share", type=_share, default=1.0, help="of the service, before the first token"
    )
    queue.add_argument("--stall-at-s", type=_from_0, default=0.0, help="after the first request, stop ...")
    queue.add_argument("--stall-s", type=_from_0, default=0.0, help="... for so long (default: 0)")


def _queue_law(options: argparse.Namespace) -> QueueLaw | None:
    if options.service_ms is None:
        return None
    return QueueLaw(
        service_ms=options.service_ms,
        slots=options.slots,
        exponential=options.service == "exponential",
        seed=options.service_seed,
        first_share=options.first_share,
        stall_at_ms=options.stall_at_s * 1e3,
        stall_ms=options.stall_s * 1e3,
    )


def _number(text: str, fits: Callable[[float], bool], rule: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and fits(value)):
        raise argparse.ArgumentTypeError(f"{text} is not {rule}")
    return value


def _above_0(text: str) -> float:
    return _number(text, lambda value: value > 0, "above 0")


def _from_0(text: str) -> float:
    return _number(text, lambda value: value >= 0, "0 or more")


def _share(text: str) -> float:
    return _number(text, lambda value: 0 <= value <= 1, "from 0 to 1")


def _count(text: str) -> int:
    return int(_number(text, lambda value: value >= 1 and value == int(value), "a whole number from 1 on"))


async def _serve(script: Script, law: QueueLaw | None, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(TruthServer(script, law).connection, "127.0.0.1", port, backlog=2048)
    host, bound = server.sockets[0].getsockname()[:2]
    print(json.dumps({"url": f"http://{host}:{bound}"}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
