"""A server in a few lines of the standard library, started by a command line: what it does, its flags say.

python small_server.py --port N [--line TEXT]... [--exit STATUS] [--ignore-port] [--child FILE] [--daemon]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--line", action="append", default=[], help="said on standard error, before all else")
parser.add_argument("--log", help="where its lines are written instead")
parser.add_argument("--exit", type=int)
parser.add_argument("--api-key")
parser.add_argument("--ignore-port", action="store_true")
parser.add_argument("--child", help="start a child in another session, and write its pid there")
parser.add_argument("--last-words", help="said when it is told to end")
parser.add_argument("--daemon", action="store_true", help="go on in the background")
options = parser.parse_args()


def end(*_):
    print(options.last_words, file=sys.stderr, flush=True)
    os._exit(0)


if options.last_words:
    signal.signal(signal.SIGTERM, end)
for line in options.line:
    text = os.path.expandvars(line)
    if options.log:
        with Path(options.log).open("a") as file:
            file.write(f"{text}\n")
    else:
        print(text, file=sys.stderr, flush=True)
if options.child:
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path(options.child).write_text(str(child.pid))
if options.daemon:
    words = [word for word in sys.argv[1:] if word != "--daemon"]
    subprocess.Popen([sys.executable, __file__, *words], start_new_session=True)
    time.sleep(0.3)
    sys.exit(0)
if options.exit is not None:
    sys.exit(options.exit)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        raw = json.dumps({"pid": os.getpid(), "at": str(Path.cwd())}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0 if options.ignore_port else options.port), Handler)
print(f"Uvicorn running on http://127.0.0.1:{server.server_address[1]}", file=sys.stderr, flush=True)
server.serve_forever()
