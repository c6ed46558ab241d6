"""Starts reference servers as child processes: one, or the embedded pair."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pytest_gptoss.model.message import say
from pytest_gptoss.servers.process import ServerProcess

__all__ = ["PINNED_DATE", "start_pair", "start_reference"]

PINNED_DATE = "2026-01-01"
"""The date in the embedded pair's prompts: the system prompt holds it, and answers would change daily."""

_READY_S = 120.0
_DATE = "VLLM_SYSTEM_START_DATE"
_DEV_MODE = "VLLM_SERVER_DEV_MODE"
_MAX_LOGPROBS = "4096"
"""So many let hidden states be recovered; a request that asks for fewer is not changed by it."""
_PAIR = {"npu": "bfloat16", "gpu": "float32"}


def start_reference(
    model: str,
    dtype: str,
    *,
    defect: str | None = None,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    ready_timeout: float = _READY_S,
    log_file: Path | None = None,
) -> ServerProcess:
    """Start a server on a free port of the loopback and return it when it answers.

    ``environment`` is added to this process's environment, whose API keys are not passed on; ``arguments`` to
    the command line. The server's log goes to ``log_file``, or to a temporary file. The caller stops it.

    Raises:
        ReferenceServerError: it did not start within ``ready_timeout`` seconds, with the reason.
    """
    deadline = time.monotonic() + ready_timeout
    server = _launch(
        model,
        dtype,
        defect=defect,
        environment=environment or {},
        arguments=arguments,
        log_file=log_file,
    )
    _wait_for_all([server], deadline)
    return server


def start_pair(
    *,
    defects: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    ready_timeout: float = _READY_S,
    log_dir: Path | None = None,
) -> dict[str, ServerProcess]:
    """Start the embedded pair at once: the tiny model as ``npu`` (bfloat16) and ``gpu`` (float32).

    Returns the two servers by name when both answer; the caller stops them. Both get the same date for their
    prompts, and serve /server_info. ``defects`` maps a name of the pair to a defect; logs go to
    ``log_dir``/NAME.log, or to temporary files.

    Raises:
        ReferenceServerError: one did not start within ``ready_timeout`` seconds; none is left running.
    """
    deadline = time.monotonic() + ready_timeout
    shared = {_DATE: PINNED_DATE, _DEV_MODE: "1", **(environment or {})}
    servers: dict[str, ServerProcess] = {}
    try:
        for name, dtype in _PAIR.items():
            servers[name] = _launch(
                "tiny",
                dtype,
                defect=(defects or {}).get(name),
                environment=shared,
                arguments=arguments,
                log_file=log_dir / f"{name}.log" if log_dir else None,
            )
    except BaseException:
        _stop_all(servers.values())
        raise
    _wait_for_all(list(servers.values()), deadline)
    return servers


def _launch(
    model: str,
    dtype: str,
    *,
    defect: str | None,
    environment: Mapping[str, str],
    arguments: Sequence[str],
    log_file: Path | None,
) -> ServerProcess:
    command = [sys.executable, "-m", "pytest_gptoss.reference", "--parent-pid", str(os.getpid())]
    command += ["--model", model, "--dtype", dtype, "--max-logprobs", _MAX_LOGPROBS, *arguments]
    if defect is not None:
        command += ["--defect", defect]
    return ServerProcess.launch(
        command, say("the reference server"), environment=environment, log_file=log_file
    )


def _wait_for_all(servers: list[ServerProcess], deadline: float) -> None:
    try:
        for server in servers:
            server.wait_ready(deadline)
    except BaseException:
        _stop_all(servers)
        raise


def _stop_all(servers: Iterable[ServerProcess]) -> None:
    for server in servers:
        server.stop()
