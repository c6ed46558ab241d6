"""``fake_vllm`` by a command line: python fake_vllm_command.py --port N [--starts FILE] [--refused-flag].

Each start adds a line to FILE, and each end another: name, pid and the word. With ``--runner pooling`` it has
hidden states and generates nothing.
"""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from fake_vllm import fake_vllm

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--name", default="npu")
parser.add_argument("--starts", type=Path, required=True)
for pooling_flag in ("--runner", "--convert", "--pooler-config"):
    parser.add_argument(pooling_flag)
options = parser.parse_args()  # a flag that it does not know ends it with status 2


def note(word):
    with options.starts.open("a") as file:
        name = options.name if options.runner is None else f"{options.name}-{options.runner}"
        file.write(f"{name} {os.getpid()} {word}\n")


def states(body):
    if body["encoding_format"] == "bytes":
        return 400, "JSON only"
    return {"data": [{"data": [[1.0, float(token)] for token in body["input"]]}]}


ending = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ending.set())
with fake_vllm(port=options.port) as fake:
    if options.runner is not None:
        refused = (404, "it pools")
        fake.post |= {"/pooling": states, "/v1/completions": refused, "/v1/chat/completions": refused}
    note("up")
    print("Application startup complete.", file=sys.stderr, flush=True)
    ending.wait()
note("down")
