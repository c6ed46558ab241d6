"""The command: ``python -m pytest_gptoss.truth``; prints its address as one line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import sys
from collections.abc import Sequence

from pytest_gptoss.servers import lifetime
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
    parser.add_argument("--parent-pid", type=int, help="end when this is no longer the parent")
    options = parser.parse_args(argv)
    if options.parent_pid is not None:
        lifetime.end_with_parent(options.parent_pid)
    script = Script(first_token_ms=options.first_token_ms, interval_ms=options.interval_ms)
    gc.freeze()
    gc.disable()
    if importlib.util.find_spec("uvloop") is None:
        asyncio.run(_serve(script, options.port))
    else:
        import uvloop

        uvloop.run(_serve(script, options.port))


async def _serve(script: Script, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(TruthServer(script).connection, "127.0.0.1", port, backlog=2048)
    host, bound = server.sockets[0].getsockname()[:2]
    print(json.dumps({"url": f"http://{host}:{bound}"}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
