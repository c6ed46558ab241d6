"""``fake_vllm`` by a command line: python fake_vllm_command.py --port N [--starts FILE] [--refused-flag].

Each start adds a line to FILE, and each end another: name, pid and the word.
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
options = parser.parse_args()  # a flag that it does not know ends it with status 2


def note(word):
    with options.starts.open("a") as file:
        file.write(f"{options.name} {os.getpid()} {word}\n")


ending = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ending.set())
with fake_vllm(port=options.port):
    note("up")
    print("Application startup complete.", file=sys.stderr, flush=True)
    ending.wait()
note("down")
