"""A server whose defect depends on its settings.

python faulty_server.py --port N --fault KIND [flags]
KIND: absent, present, said, crash, unstarted, no-eager, variable, graph, random
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

words = sys.argv[1:]
port, fault = int(words[words.index("--port") + 1]), words[words.index("--fault") + 1]
print(f"vLLM API server version 0.32.0, {fault}", file=sys.stderr, flush=True)

if "--refused" in words:
    print("server: error: unrecognized arguments: --refused", file=sys.stderr, flush=True)
    sys.exit(2)
if fault == "no-eager" and "--enforce-eager" in words:
    print("server: error: argument --enforce-eager: not here", file=sys.stderr, flush=True)
    sys.exit(2)
if fault == "unstarted" and "--good" not in words:
    sys.exit("RuntimeError: NPU out of memory")
if fault == "crash" and "--bad" in words:
    sys.exit("RuntimeError: NPU out of memory")
damaged = {
    "no-eager": "--good 3" not in " ".join(words),
    "absent": "--good 3" not in " ".join(words),
    "variable": os.environ.get("HCCL_OP_EXPANSION_MODE") != "AIV",
    "graph": "--enforce-eager" not in words,
    "present": any(each.startswith("--bad") for each in words),
}.get(fault, False)
if fault == "said":  # every server says so when it is told to end, one of them before
    dead = "EngineDeadError: EngineCore encountered an issue."
    signal.signal(signal.SIGTERM, lambda *_: (print(dead, file=sys.stderr, flush=True), os._exit(0)))
    if "--bad" in words:
        print(dead, file=sys.stderr, flush=True)
if fault == "random":  # every second start
    turns = Path(words[words.index("--turns") + 1])
    turn = int(turns.read_text()) if turns.exists() else 0
    turns.write_text(str(turn + 1))
    damaged = turn % 2 == 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self._send(200, {"data": [{"id": "tiny"}]})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._send(500 if damaged else 200, {"text": "garbage" if damaged else "sound"})

    def _send(self, status, body):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
