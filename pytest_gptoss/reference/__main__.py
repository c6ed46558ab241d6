"""The command: ``python -m pytest_gptoss.reference --model DIR|tiny``, or ``... export DIR``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_gptoss.model.errors import GptossError, ReferenceServerError, UsageError
from pytest_gptoss.model.key_variables import VLLM_KEY_VARIABLE
from pytest_gptoss.reference import defects
from pytest_gptoss.reference.limits import Limits
from pytest_gptoss.servers import lifetime

if TYPE_CHECKING:
    from pytest_gptoss.reference.service import Service

__all__ = ["main"]

logger = logging.getLogger("pytest_gptoss.reference")

_EXTRA = {"torch", "transformers", "safetensors", "openai_harmony", "starlette", "uvicorn", "pydantic"}
_KEEP_ALIVE_S = 60


def main(argv: Sequence[str]) -> int:
    """Run the command; the exit status is 2 for whatever the user can put right."""
    lifetime.end_on_signals()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="reference: %(message)s")
    logger.setLevel(logging.INFO)
    try:
        return _export(argv[1:]) if argv[:1] == ["export"] else _serve(argv)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        return _fail(f"{package} is not installed: pip install 'pytest-gptoss[reference]'")
    except (GptossError, OSError) as error:
        return _fail(str(error))


def _fail(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


# -- serving ------------------------------------------------------------------------------------


def _serve(argv: Sequence[str]) -> int:
    began = time.monotonic()
    options = _serve_parser().parse_args(argv)
    if options.defect == "list":
        _print_defects()
        return 0
    if options.model is None:
        raise UsageError("--model is missing: give the folder of a GPT-OSS checkpoint, or 'tiny'")
    if options.defect is not None:
        defects.find(options.defect)
    limits = Limits(options.max_num_seqs, options.max_num_batched_tokens, options.kv_cache_tokens)
    lifetime.end_with_parent(options.parent_pid)
    with _bound_socket(options.host, options.port) as listener:
        _run(options, limits, listener, began)
    return 0


def _run(options: argparse.Namespace, limits: Limits, listener: socket.socket, began: float) -> None:
    import uvicorn

    from pytest_gptoss.reference.server import create_app

    service = _load(options, limits)
    url = _url(options.host, listener.getsockname()[1])

    class Server(uvicorn.Server):
        """Says where it listens once it does, and leaves signals to the kernel."""

        async def serve(self, sockets: list[socket.socket] | None = None) -> None:
            await self._serve(sockets)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            logger.info("ready at %s after %.1f s", url, time.monotonic() - began)
            ready = {"url": url, "model": service.model, "dtype": service.dtype, "defect": service.defect}
            print(json.dumps(ready), flush=True)

    config = uvicorn.Config(
        create_app(service, api_key=os.environ.get(VLLM_KEY_VARIABLE) or None),
        loop="asyncio",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    Server(config).run(sockets=[listener])


def _load(options: argparse.Namespace, limits: Limits) -> Service:
    from pytest_gptoss.reference.engine import create_engine
    from pytest_gptoss.reference.service import Service
    from pytest_gptoss.reference.tokens import encoding

    encoding()
    logger.info("loading %s in %s", options.model, options.dtype)
    engine = create_engine(
        model=options.model,
        dtype=options.dtype,
        max_model_len=options.max_model_len,
        limits=limits,
        threads=options.threads,
        defect=options.defect,
    )
    if limits.kv_cache_blocks is not None:
        logger.info("sequences of at most %d tokens fit into the KV cache", engine.max_model_len)
    if options.defect:
        logger.warning("DEFECT %s is on: %s", options.defect, defects.find(options.defect).explanation)
    return Service(
        engine=engine,
        model=options.served_model_name,
        root=options.model,
        dtype=options.dtype,
        defect=options.defect,
        max_logprobs=options.max_logprobs,
    )


def _bound_socket(host: str, port: int) -> socket.socket:
    """A socket bound before the model is loaded, so that a port in use is known at once."""
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        where, reason = f"--host {host} --port {port}", error.strerror or error
        raise ReferenceServerError(
            f"cannot listen on {where} ({reason}): choose another, or port 0 for a free one"
        ) from None
    return listener


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _print_defects() -> None:
    width = max(map(len, defects.DEFECTS))
    for defect in defects.DEFECTS.values():
        print(f"{defect.name:<{width}}  {defect.kind:<8}  {defect.explanation}")


# -- exporting ------------------------------------------------------------------------------------


def _export(argv: Sequence[str]) -> int:
    parser = _Parser(
        prog="python -m pytest_gptoss.reference export",
        description="Write the tiny model as an ordinary Hugging Face checkpoint.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder to write, made if it is missing")
    options = parser.parse_args(argv)
    from pytest_gptoss.reference.export import export

    export(options.directory)
    print(options.directory)
    return 0


# -- options --------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}: see --help")


def _serve_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m pytest_gptoss.reference",
        description="Serve a GPT-OSS checkpoint with transformers on the CPU, in vLLM's HTTP dialect. "
        f"The API key, if one is wanted, comes from the environment: {VLLM_KEY_VARIABLE}.",
        epilog="'python -m pytest_gptoss.reference export DIR' writes the tiny model for real vLLM.",
    )
    add: Any = parser.add_argument
    add(
        "--model",
        metavar="DIR|tiny",
        help="folder of a checkpoint, or the tiny one that ships with this package",
    )
    add("--dtype", choices=("float32", "bfloat16"), default="float32")
    add("--host", default="127.0.0.1")
    add(
        "--port",
        type=_port,
        default=0,
        help="0 takes a free one; a JSON line on stdout names the url once ready",
    )
    add("--served-model-name", default="gpt-oss-20b", metavar="NAME")
    add("--max-model-len", type=_positive, metavar="N", help="default: what the model was made for")
    add("--max-num-seqs", type=_positive, default=16, metavar="N", help="sequences in one batch")
    add(
        "--max-num-batched-tokens",
        type=_positive,
        default=512,
        metavar="N",
        help="tokens computed in one step: a longer prompt is read in pieces (512)",
    )
    add(
        "--kv-cache-tokens",
        type=_positive,
        metavar="N",
        help="tokens of all running sequences together, in blocks of 16; where they are used up, the newest "
        "sequence is preempted and computed again; default: no bound",
    )
    add("--max-logprobs", type=_positive, default=20, metavar="N", help="alternatives of a token (20)")
    add("--threads", type=_positive, metavar="N")
    add("--defect", metavar="NAME", help="spoil it on purpose; 'list' explains every defect")
    add(
        "--parent-pid",
        type=_positive,
        default=os.getppid(),
        metavar="PID",
        help="end when this process is no longer the parent; default: the one that started it",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 65535")
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
